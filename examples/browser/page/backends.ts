// The panel of backends: which one computes, why the others do not, and whether they agree.
import type { Choice, Compared, Running } from "../lab/messages.js";
import { announce, clearError, fact, showError, showProgress, type App } from "./app.js";
import { byId, make, table } from "./elements.js";

const labels: Readonly<Record<Choice, string>> = {
  webgpu: "WebGPU",
  "wasm-threads": "WebAssembly, threads",
  "wasm-one": "WebAssembly, one thread",
  gpujs: "gpu.js",
  cpu: "Plain JavaScript",
};
const choices = Object.keys(labels) as readonly Choice[];

interface Row {
  readonly input: HTMLInputElement;
  readonly note: HTMLElement;
}

/** @param running what the start found @param forgot told when a backend died, and what the model had learned with it */
export async function mountBackends(app: App, running: Running, { forgot }: { forgot(): void }): Promise<void> {
  const { lab } = app;
  const rows = new Map<Choice, Row>();
  for (const choice of choices) {
    const note = make("small", { id: `why-${choice}` }, "looking …");
    const input = make("input", { type: "radio", name: "backend", value: choice, "aria-describedby": note.id });
    input.disabled = true;
    byId("backends").append(make("label", {}, input, make("span", {}, labels[choice], note)));
    rows.set(choice, { input, note });
    input.addEventListener("change", () => void open(choice));
  }

  let current = running.choice;
  const show = ({ choice, info, lost }: Running): void => {
    const before = rows.get(current);
    if (before && current !== choice) before.note.textContent = "ready";
    current = choice;
    const row = rows.get(choice) as Row;
    row.input.disabled = false;
    row.input.checked = true;
    row.note.textContent = `runs: ${choice === "cpu" ? "plain loops, the reference of all others" : inWords(info)}`;
    const threads = choice.startsWith("wasm") ? `, ${info.threads} thread${info.threads === 1 ? "" : "s"}` : "";
    fact("backend", `${labels[choice].split(",")[0]}${threads}`);
    if (lost !== undefined) showError(`The model begins anew, what it learned here is lost: ${lost}`);
  };
  const open = async (choice: Choice): Promise<void> => {
    clearError();
    showProgress(`Opening ${labels[choice]}`, 0);
    const opened = await app.change(async () => {
      const found = await lab.call("open", choice);
      if (found.lost !== undefined) forgot();
      return found;
    });
    showProgress("", 1);
    if (opened === undefined) {
      (rows.get(current) as Row).input.checked = true;
      return;
    }
    show(opened);
    announce(`${labels[choice]} runs now.`);
  };

  show(running);
  const compare = byId<HTMLButtonElement>("compare");
  compare.addEventListener("click", () => {
    clearError();
    const focused = document.activeElement === compare;
    compare.disabled = true;
    void app
      .change(() => lab.call("compare"))
      .then((found) => {
        compare.disabled = false;
        // A button that is disabled loses the focus to the body.
        if (focused && document.activeElement === document.body) compare.focus();
        showProgress("", 1);
        if (found === undefined) return;
        byId("compared").replaceChildren(tableOf(found));
        announce("The comparison of backends is done.");
      });
  });

  for (const choice of choices) {
    if (choice === running.choice) continue;
    const { input, note } = rows.get(choice) as Row;
    const passedOver = running.passedOver[choice];
    const reason = await lab.call("probe", choice).catch((error: Error) => error.message);
    if (choice === current) continue; // the visitor was faster
    input.disabled = reason !== "";
    note.textContent = reason !== "" ? `not here: ${reason}` : passedOver ? `passed over: ${passedOver}` : "ready";
  }
  compare.disabled = false;
}

/** What a backend says of itself, without what has more digits than meaning. */
function inWords(info: Running["info"]): string {
  const { threads, build, adapter, fallback, whyNotMoreThreads } = info;
  const words = [
    threads !== undefined && `${threads} thread${threads === 1 ? "" : "s"}`,
    build !== undefined && `${build} SIMD`,
    adapter,
    fallback,
    whyNotMoreThreads !== undefined && `no more threads because ${whyNotMoreThreads}`,
  ];
  return words.filter(Boolean).join(", ");
}

function tableOf(found: readonly Compared[]): HTMLTableElement {
  return table(
    "One batch of held-out text",
    ["Backend", "Loss", "Logits off by", "Time"],
    found.map(({ choice, reason, loss, difference, milliseconds }) =>
      reason === undefined
        ? [
            labels[choice],
            loss?.toFixed(6) ?? "",
            difference === 0 ? "0" : (difference?.toExponential(1) ?? ""),
            `${milliseconds?.toFixed(0)}\u00a0ms`,
          ]
        : [labels[choice], "–", reason, "–"],
    ),
  );
}
