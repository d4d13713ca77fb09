// Who got the tokens: one picture per layer, a column per part of the run, a row per expert; and the ramp that explains the colours.
import * as Plot from "@observablehq/plot";
import { draw, marginBottom } from "./charts.js";
import { mean, periods, type History } from "./history.js";

/** Octaves around the fair share; beyond, colours stay. */
const octaves = 3;
/** Viridis: readable without colour vision, on light and dark. */
const color: Plot.ScaleOptions = { type: "linear", scheme: "Viridis", domain: [-octaves, octaves], clamp: true };

const marginTop = 10;

export function heatMap({ loads, losses }: History, layer: number, width: number): string {
  const cells = loads[layer].flatMap((load, period) => {
    const fair = mean(load);
    return fair === 0 ? [] : load.map((count, expert) => ({ period, expert, octave: Math.log2(count / fair) }));
  });
  const experts = loads[layer][0].length;
  return draw(
    `Layer ${layer}: load of ${experts} experts over ${losses.length} training steps`,
    "Each column is a part of the run, each row an expert, the colour its load relative to the fair share.",
    {
      width,
      marginLeft: 60,
      marginTop,
      // Whole pixels per row: no row looks thicker than another.
      height: marginTop + marginBottom + experts * Math.max(1, Math.round(384 / experts)),
      x: {
        label: "training step →",
        type: "band",
        padding: 0,
        domain: Array.from({ length: periods }, (_, i) => i),
        ticks: [0, periods / 3, (2 * periods) / 3, periods - 1],
        tickFormat: (period: number) => String(Math.round(((period + 1) * losses.length) / periods)),
        tickSize: 0,
      },
      y: {
        label: "expert",
        type: "band",
        padding: 0,
        domain: Array.from({ length: experts }, (_, i) => i),
        ticks: Array.from({ length: 5 }, (_, i) => Math.min(experts - 1, Math.floor((i * experts) / 4))),
        tickSize: 0,
      },
      color,
      marks: [Plot.cell(cells, { x: "period", y: "expert", fill: "octave", inset: 0 })],
    },
  );
}

/** What the colours of {@link heatMap} mean. */
export function heatMapLegend(width: number): string {
  const steps = Array.from({ length: 2 * octaves + 1 }, (_, i) => ({ octave: i - octaves }));
  const name = (octave: number): string => (octave < 0 ? `1/${2 ** -octave}` : `${2 ** octave}`);
  return draw(
    "Colours of the heat maps",
    "From an eighth of the fair share or less, dark, to eight times or more, bright.",
    {
      width,
      height: 46,
      marginTop: 0,
      marginBottom: 24,
      marginLeft: 2,
      marginRight: 2,
      x: {
        type: "band",
        label: null,
        padding: 0,
        tickSize: 0,
        tickFormat: (octave: number) =>
          octave === -octaves ? `≤ ${name(octave)}` : octave === octaves ? `≥ ${name(octave)}` : name(octave),
      },
      color,
      marks: [Plot.cellX(steps, { x: "octave", fill: "octave", inset: 0 })],
    },
  );
}
