// The panel that writes: what the visitor types, what the model makes of it, and which experts a token visited.
import type { Token } from "../lab/messages.js";
import { announce, fact, percent, showError, speed, type App } from "./app.js";
import { encode, nameOf } from "./bytes.js";
import { hueOf } from "./colors.js";
import { byId, make, segments } from "./elements.js";
import { TokenView } from "./token-view.js";

/** Tokens that the model adds. */
const continuation = 200;
/** How long typing must rest, in milliseconds. */
const rest = 300;

export interface Writing {
  /** Writes on from the visitor's text. */
  write(): void;
  /** Ids of the text so far. */
  readonly ids: readonly number[];
}

export interface WritingEvents {
  /** The text begins anew. */
  begun(): void;
  wrote(tokens: readonly Token[]): void;
  /** The text is whole. */
  ended(tokensPerSecond: number): void;
  selected(index: number): void;
}

export function mountWriting({ lab, toy }: App, { begun, wrote, ended, selected }: WritingEvents): Writing {
  const prompt = byId<HTMLTextAreaElement>("prompt");
  const temperature = byId<HTMLSelectElement>("temperature");
  const again = byId<HTMLButtonElement>("again");
  const view = new TokenView(byId("tokens"), (index) => {
    showVisits(view, index);
    selected(index);
  });
  const invitation = byId("visits").children[0];
  let seed = 1;
  let round = 0;
  /** Calls that write, still unanswered. */
  let asked = 0;
  let lastSpeed = 0;

  const write = (): void => {
    const mine = ++round;
    view.clear();
    byId("visits").replaceChildren(invitation.cloneNode(true));
    begun();
    byId("tokens").setAttribute("aria-busy", "true");
    const options = {
      prompt: [toy.documentToken, ...encode(prompt.value)],
      tokens: continuation,
      temperature: Number(temperature.value),
      seed,
    };
    asked++;
    const answer = lab.call("write", options).finally(() => asked--);
    answer.then(
      (whole) => {
        if (mine !== round || !whole) return;
        byId("tokens").setAttribute("aria-busy", "false");
        const added = view.tokens.filter(({ given }) => !given);
        announce(`The model wrote: ${added.map(({ spelled }) => spelled).join("")}`);
        ended(lastSpeed);
      },
      (error: unknown) => {
        showError(error);
        if (mine === round) byId("tokens").setAttribute("aria-busy", "false");
      },
    );
  };

  lab.on("wrote", ({ tokens, tokensPerSecond }) => {
    if (asked > 1) return; // of a text given up: the worker answers for that one before it tells of the next
    view.append(tokens);
    byId("cut").hidden = view.tokens[0].id === toy.documentToken;
    lastSpeed = tokensPerSecond;
    fact("writes", speed(lastSpeed));
    wrote(tokens);
  });
  let timer: ReturnType<typeof setTimeout>;
  prompt.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(write, rest);
  });
  temperature.addEventListener("change", write);
  again.addEventListener("click", () => {
    seed++;
    write();
  });
  const layers = Array.from({ length: toy.numLayers }, (_, i) => `${i + 1}`);
  byId("color-layer").append(...segments("color-layer", layers, (layer) => view.colorBy(layer)));
  for (const control of [prompt, temperature, again]) control.disabled = false;
  return {
    write,
    get ids() {
      return view.tokens.map(({ id }) => id);
    },
  };
}

function showVisits(view: TokenView, index: number): void {
  const { id, spelled, experts, weights } = view.tokens[index];
  const lists = experts.map((chosen, layer) =>
    make(
      "div",
      {},
      make("h3", {}, `Layer ${layer + 1}`),
      make(
        "ol",
        {},
        ...chosen.map((expert, slot) =>
          make(
            "li",
            { style: `--hue: ${hueOf(expert).toFixed(0)}; --share: ${weights[layer][slot].toFixed(3)}` },
            make("b", {}, `${expert}`),
            ` ${percent(weights[layer][slot])}`,
          ),
        ),
      ),
    ),
  );
  const title = make("p", {}, "Token ", make("b", {}, nameOf(id, spelled)), ` went to experts`);
  byId("visits").replaceChildren(title, make("div", { class: "pair" }, ...lists));
}
