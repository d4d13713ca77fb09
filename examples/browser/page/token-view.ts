// The text as tokens, each in the colours of its experts: a list box, along which arrow keys walk.
import type { Token } from "../lab/messages.js";
import { nameOf, signOf, Spelling } from "./bytes.js";
import { hueOf } from "./colors.js";
import { make } from "./elements.js";

/** Tokens put on the page per frame. */
const perFrame = 40;

export interface Spelled extends Token {
  readonly spelled: string;
}

export class TokenView {
  readonly #box: HTMLElement;
  readonly #onSelect: (index: number) => void;
  #tokens: Spelled[] = [];
  #shown = 0;
  #asked = false;
  #spelling = new Spelling();
  #layer = 0;
  #selected = -1;

  /** @param onSelect told which token was chosen */
  constructor(box: HTMLElement, onSelect: (index: number) => void) {
    this.#box = box;
    this.#onSelect = onSelect;
    box.addEventListener("keydown", (event) => this.#walk(event));
    box.addEventListener("click", ({ target }) => {
      const index = target instanceof HTMLElement ? Number(target.dataset.at ?? -1) : -1;
      if (index >= 0) this.select(index);
    });
  }

  get tokens(): readonly Spelled[] {
    return this.#tokens;
  }

  /** The old text stays to be seen until the first tokens of the next one come. */
  clear(): void {
    this.#tokens = [];
    this.#shown = 0;
    this.#selected = -1;
    this.#spelling = new Spelling();
    this.#box.removeAttribute("aria-activedescendant");
    this.#box.classList.add("past");
  }

  append(tokens: readonly Token[]): void {
    for (const token of tokens) this.#tokens.push({ ...token, spelled: this.#spelling.next(token.id) });
    this.#ask();
  }

  colorBy(layer: number): void {
    this.#layer = layer;
    const shown = this.#tokens.slice(0, this.#shown);
    shown.forEach((token, i) => this.#paint(this.#box.children[i] as HTMLElement, token));
  }

  select(index: number): void {
    if (index < 0 || index >= this.#shown) return;
    this.#box.children[this.#selected]?.removeAttribute("aria-selected");
    this.#selected = index;
    const chosen = this.#box.children[index];
    chosen.setAttribute("aria-selected", "true");
    chosen.scrollIntoView({ block: "nearest" });
    this.#box.setAttribute("aria-activedescendant", chosen.id);
    this.#onSelect(index);
  }

  #ask(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      const next = this.#tokens.slice(this.#shown, this.#shown + perFrame);
      if (next.length === 0) return; // another text was begun meanwhile
      if (this.#shown === 0) {
        this.#box.replaceChildren();
        this.#box.classList.remove("past");
      }
      this.#box.append(...next.map((token, i) => this.#span(token, this.#shown + i)));
      this.#shown += next.length;
      if (this.#shown < this.#tokens.length) this.#ask();
    });
  }

  #span(token: Spelled, index: number): HTMLElement {
    const visible = signOf(token.id, token.spelled);
    const span = make("span", { role: "option", id: `token-${index}`, "data-at": String(index) }, visible);
    span.setAttribute("aria-label", nameOf(token.id, token.spelled));
    if (token.given) span.classList.add("given");
    this.#paint(span, token);
    return span;
  }

  /** The ground is the first expert's colour; the line below shows the shares of the first three. */
  #paint(span: HTMLElement, { experts, weights }: Token): void {
    const chosen = experts[this.#layer] ?? [];
    if (chosen.length === 0) return;
    span.style.setProperty("--hue", hueOf(chosen[0]).toFixed(0));
    const first = chosen.slice(0, 3);
    const total = first.reduce((sum, _, i) => sum + weights[this.#layer][i], 0);
    let from = 0;
    const stops = first.map((expert, i) => {
      const to = from + (100 * weights[this.#layer][i]) / total;
      const stop = `oklch(var(--stripe) ${hueOf(expert).toFixed(0)}) ${from.toFixed(0)}% ${to.toFixed(0)}%`;
      from = to;
      return stop;
    });
    span.style.setProperty("--shares", `linear-gradient(90deg, ${stops.join(", ")})`);
  }

  #walk(event: KeyboardEvent): void {
    const last = this.#shown - 1;
    const to: Readonly<Record<string, number>> = {
      ArrowRight: this.#selected + 1,
      ArrowLeft: this.#selected < 0 ? last : this.#selected - 1,
      ArrowDown: this.#selected + 10,
      ArrowUp: this.#selected - 10,
      Home: 0,
      End: last,
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    this.select(Math.min(last, Math.max(0, to[event.key])));
  }
}
