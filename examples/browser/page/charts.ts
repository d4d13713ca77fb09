// The page's charts, by Observable Plot. Only `lazyCharts` imports this file, so that the page is there before its charts are.
import * as Plot from "@observablehq/plot";
import { color } from "./colors.js";

export interface Point {
  readonly step: number;
  readonly value: number;
}

/** Where something changed, and what. */
export interface Turn {
  readonly step: number;
  readonly label: string;
}

/** Replaces what is in `box` by a chart that screen readers call by `label`. */
function put(box: HTMLElement, label: string, options: Plot.PlotOptions): void {
  const chart = Plot.plot({ className: "plot", width: Math.max(240, box.clientWidth), marginTop: 22, ...options });
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", label);
  box.replaceChildren(chart);
}

/** Lines of a value over steps, faint, and its running mean. */
export function curve(
  box: HTMLElement,
  label: string,
  points: readonly Point[],
  turns: readonly Turn[],
  { stroke, zero }: { readonly stroke: string; readonly zero: boolean },
): void {
  const few = thin(points);
  const smooth = { k: Math.max(1, Math.round(few.length / 15)), reduce: "mean", anchor: "end", strict: false } as const;
  put(box, label, {
    height: 200,
    marginLeft: 40,
    x: { label: "step →", nice: false, ticks: 5, tickFormat: "d" },
    y: { label: null, grid: true, zero, nice: true, ticks: 5 },
    marks: [
      Plot.ruleX(turns, { x: "step", stroke: color("--muted"), strokeDasharray: "3 3" }),
      Plot.text(turns, {
        x: "step",
        text: "label",
        frameAnchor: "top",
        textAnchor: "start",
        dx: 4,
        fill: color("--muted"),
      }),
      Plot.lineY(few, { x: "step", y: "value", stroke, strokeOpacity: 0.35, strokeWidth: 1 }),
      Plot.lineY(few, Plot.windowY(smooth, { x: "step", y: "value", stroke, strokeWidth: 2.25 })),
    ],
  });
}

/** At most 240 points: means of neighbours. */
function thin(points: readonly Point[]): Point[] {
  const size = Math.ceil(points.length / 240);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    return { step: group[0].step, value: group.reduce((sum, { value }) => sum + value, 0) / group.length };
  });
}

/** @param rows [time][expert], in fair shares */
export function loadMap(box: HTMLElement, label: string, rows: readonly Float32Array[], height: number): void {
  const width = rows[0]?.length ?? 1;
  const values = new Float32Array(width * height).fill(NaN);
  rows.forEach((row, i) => values.set(row, i * width));
  put(box, label, {
    height: 150,
    marginLeft: 4,
    marginRight: 4,
    marginTop: 4,
    marginBottom: 30,
    x: { label: "expert →", ticks: 8, domain: [0, width] },
    y: { axis: null, domain: [height, 0] },
    color: heat([0, 1, 4, 16]),
    marks: [cells(values, width, height)],
  });
}

/** @param weights [T, T] @param query the row to mark */
export function attentionMap(box: HTMLElement, label: string, weights: Float32Array, query: number): void {
  const size = Math.round(Math.sqrt(weights.length));
  const values = weights.map((weight, i) => (i % size > i / size ? NaN : weight));
  const side = Math.min(380, Math.max(240, box.clientWidth));
  put(box, label, {
    width: side,
    height: side,
    margin: 4,
    marginTop: 4,
    x: { axis: null, domain: [0, size] },
    y: { axis: null, domain: [size, 0] },
    color: heat([0, 0.1, 0.4, 1]),
    marks: [
      cells(values, size, size),
      Plot.rect([query], { x1: 0, x2: size, y1: (q: number) => q, y2: (q: number) => q + 1, stroke: color("--ink") }),
    ],
  });
}

function heat(domain: readonly number[]): Plot.ScaleOptions {
  return {
    type: "linear",
    domain: [...domain],
    range: ["--heat-0", "--heat-1", "--heat-2", "--heat-3"].map(color),
    unknown: color("--card"),
    clamp: true,
  };
}

function cells(values: Float32Array, width: number, height: number): Plot.Markish {
  return Plot.raster(values, { width, height, x1: 0, x2: width, y1: 0, y2: height, imageRendering: "pixelated" });
}
