// Curves over steps, by Observable Plot. Nobody imports this file before there is a curve to draw.
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
  stroke: string,
): void {
  const few = thin(points);
  const smooth = { k: Math.max(1, Math.round(few.length / 15)), reduce: "mean", anchor: "end", strict: false } as const;
  put(box, label, {
    height: 200,
    marginLeft: 40,
    x: { label: "step →", nice: false, ticks: 5, tickFormat: "d" },
    y: { label: null, grid: true, nice: true, ticks: 5 },
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
