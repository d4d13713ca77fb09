// The worker: answers the page's calls with a Lab, so that no computing ever stands between a visitor and the page.
import { Lab } from "./lab.js";
import type { Answer, Call } from "./messages.js";

const port = self as unknown as {
  postMessage(answer: Answer): void;
  onmessage: ((event: MessageEvent<Call>) => void) | null;
};

const lab = new Lab((event, data) => port.postMessage({ event, data } as Answer));

port.onmessage = ({ data: { id, name, args } }) => {
  const call = lab[name].bind(lab) as (...args: readonly unknown[]) => Promise<unknown>;
  call(...args).then(
    (result) => port.postMessage({ id, result }),
    ({ name, message }: Error) => port.postMessage({ id, error: { name, message } }),
  );
};
