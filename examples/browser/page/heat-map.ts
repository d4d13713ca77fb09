// A matrix as colours: one pixel of a canvas per number, which costs the page a fraction of a millisecond however often it changes.
import { color } from "./colors.js";
import { make } from "./elements.js";

/** From where on the four colours of the page's heat stand, in order; between them they mix. */
export type Stops = readonly [number, number, number, number];

type Rgb = readonly [number, number, number];

export class HeatMap {
  readonly #canvas = make("canvas", { role: "img" });
  readonly #marker = make("i", { class: "marker", hidden: "" });
  readonly #stops: Stops;

  /** @param onPick told the row that was clicked */
  constructor(box: HTMLElement, stops: Stops, onPick?: (row: number) => void) {
    this.#stops = stops;
    box.replaceChildren(make("div", { class: "heat" }, this.#canvas, this.#marker));
    if (onPick === undefined) return;
    this.#canvas.addEventListener("click", ({ offsetY }) =>
      onPick(Math.floor((offsetY / this.#canvas.clientHeight) * this.#canvas.height)),
    );
  }

  /** @param values [height, width]; NaN stays empty @param marked a row to frame */
  draw(label: string, values: Float32Array, width: number, marked?: number): void {
    const height = values.length / width;
    const canvas = this.#canvas;
    canvas.setAttribute("aria-label", label);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
    if (context === null) return;
    const pixels = context.createImageData(width, height);
    const colors = heatColors();
    values.forEach((value, i) => {
      if (!Number.isNaN(value)) pixels.data.set(mix(value, this.#stops, colors), 4 * i);
    });
    context.putImageData(pixels, 0, 0);
    this.#marker.hidden = marked === undefined;
    if (marked === undefined) return;
    this.#marker.style.top = `${(100 * marked) / height}%`;
    this.#marker.style.height = `${100 / height}%`;
  }
}

function heatColors(): Rgb[] {
  return ["--heat-0", "--heat-1", "--heat-2", "--heat-3"].map((name) => {
    const number = parseInt(color(name).slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  });
}

function mix(value: number, stops: Stops, colors: readonly Rgb[]): [number, number, number, number] {
  const above = stops.findIndex((stop) => stop > value);
  const to = above < 0 ? stops.length - 1 : Math.max(1, above);
  const share = Math.min(1, Math.max(0, (value - stops[to - 1]) / (stops[to] - stops[to - 1])));
  const channel = (i: number): number => colors[to - 1][i] + share * (colors[to][i] - colors[to - 1][i]);
  return [channel(0), channel(1), channel(2), 255];
}
