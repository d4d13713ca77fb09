// How far each format is from the trained model: a row per format, in the order of its bits, and a mark per model.
import * as Plot from "@observablehq/plot";
import { draw } from "../train-toy/charts.js";
import type { Comparison } from "./run.js";

export const modelColors = ["--training", "--held-out"];

/** The label of a power of ten; other ticks go without. */
const decade = (tick: number): string => (/^1(e|$)/.test(tick.toExponential()) ? String(tick) : "");

/** The axis grows by factors; f32 itself has no place on it. */
export function divergences(comparisons: readonly Comparison[], width: number): string {
  const marks = comparisons.flatMap(({ name, stored }) =>
    stored
      .filter(({ divergence }) => divergence > 0)
      .map(({ format, bitsPerWeight, divergence }) => ({
        model: name,
        row: `${format.name} · ${bitsPerWeight.toFixed(2)}`,
        order: bitsPerWeight,
        format: format.name,
        divergence,
      })),
  );
  // Rows of narrow matrices are padded, so a format may take more bits in one model than in the other: it is named by the last one.
  const names = new Map(marks.map(({ format, row }) => [format, row]));
  const points = marks.map((mark) => ({ ...mark, row: names.get(mark.format) as string }));
  const rows = [...points].sort((a, b) => b.order - a.order).map(({ row }) => row);
  const said = points.map(({ model, format, divergence }) => `${model}, ${format}: ${divergence.toExponential(1)}`);
  return draw("Divergence from f32 by format", said.join("; "), {
    width,
    height: 60 + 26 * names.size,
    marginLeft: width < 600 ? 244 : 178, // text is larger in the narrow picture
    marginTop: 8,
    x: { label: "KL from f32, nats per token →", type: "log", grid: true, tickFormat: decade, inset: 10 },
    y: { label: null, domain: [...new Set(rows)] },
    color: {
      domain: comparisons.map(({ name }) => name),
      range: comparisons.map((_, i) => `var(${modelColors[i % modelColors.length]})`),
    },
    marks: [
      Plot.ruleY(rows, { stroke: "var(--line)" }),
      Plot.dot(points, { x: "divergence", y: "row", fill: "model", r: 6 }),
    ],
  });
}
