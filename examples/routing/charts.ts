// One line per router over the steps of its run, and the load of its experts.
import * as Plot from "@observablehq/plot";
import type { RoutingCurve } from "qwen-blocks";
import { draw } from "../train-toy/charts.js";
import { heatMap } from "../train-toy/heat-map.js";
import { emptyHistory, addStep, type History } from "../train-toy/history.js";
import { sizes } from "./model.js";
import type { Run } from "./run.js";

interface Curve {
  readonly title: string;
  /** Beside the axis. */
  readonly unit: string;
  readonly percent?: boolean;
  /** Whether the axis begins at 0. */
  readonly zero?: boolean;
  /** A level to compare with. */
  readonly level?: { readonly name: string; readonly value: number };
  of(run: Run): readonly number[];
}

/** Mean over the layers, by step. */
const overLayers =
  (curve: RoutingCurve) =>
  ({ history }: Run): readonly number[] => {
    const layers = Array.from({ length: sizes.numHiddenLayers }, (_, layer) => history.series(layer, curve).values);
    return layers[0].map((_, i) => layers.reduce((total, values) => total + values[i], 0) / layers.length);
  };

export const curves = {
  loss: { title: "Loss", unit: "nats per token", of: ({ losses }) => losses },
  balance: { title: "Load-balancing loss", unit: "balance loss", of: ({ balances }) => balances },
  busiest: {
    title: "Busiest expert",
    unit: "largest / mean load",
    zero: true,
    level: { name: "perfect balance", value: 1 },
    of: overLayers("maxOverMean"),
  },
  entropy: {
    title: "Entropy",
    unit: "nats per token",
    level: { name: "no opinion", value: Math.log(sizes.numExperts) },
    of: overLayers("entropy"),
  },
  idle: { title: "Idle experts", unit: "experts that nobody visits", zero: true, of: overLayers("idleExperts") },
  activated: {
    title: "Activated experts",
    unit: "of the experts",
    percent: true,
    zero: true,
    of: overLayers("activated"),
  },
  dropped: { title: "Dropped", unit: "of the wanted slots", percent: true, zero: true, of: overLayers("droppedShare") },
} satisfies Record<string, Curve>;

/** A running mean of every run. */
export function lines(runs: readonly Run[], curve: Curve, width: number): string {
  const points = runs.map((run) => curve.of(run).map((value, i) => ({ step: i + 1, value })));
  const steps = points[0].length;
  const smooth = { k: Math.max(1, Math.round(steps / 15)), reduce: "mean", anchor: "end", strict: false } as const;
  const show = (value: number): string => (curve.percent ? `${(100 * value).toFixed(0)} %` : value.toFixed(2));
  const ends = runs.map((run, i) => `${run.contender.name} ${show(points[i][steps - 1].value)}`);
  return draw(`${curve.title} by training step`, `At the end: ${ends.join(", ")}.`, {
    width,
    height: Math.max(240, Math.round(width * 0.36)),
    x: { label: "training step →", ticks: 6, nice: false },
    y: {
      label: `↑ ${curve.unit}`,
      grid: true,
      nice: true,
      zero: curve.zero,
      ...(curve.percent && { tickFormat: "%" }),
    },
    marks: [
      ...(curve.level
        ? [
            Plot.ruleY([curve.level.value], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
            Plot.text([curve.level.name], {
              x: steps,
              y: curve.level.value,
              text: [curve.level.name],
              textAnchor: "end",
              dy: 9,
              fill: "var(--muted)",
            }),
          ]
        : []),
      ...points.map((each, i) =>
        Plot.lineY(
          each,
          Plot.windowY(smooth, {
            x: "step",
            y: "value",
            stroke: `var(${runs[i].contender.color})`,
            strokeWidth: 2.5,
          }),
        ),
      ),
    ],
  });
}

/** Who got the tokens of a layer: a column per part of the run, a row per expert. */
export function loads({ history, losses, balances }: Run, layer: number, width: number): string {
  const { numHiddenLayers, numExperts } = sizes;
  const seen: History = emptyHistory(numHiddenLayers, numExperts);
  losses.forEach((loss, step) => {
    const records = history.records.slice(step * numHiddenLayers, (step + 1) * numHiddenLayers);
    const of = new Map(records.map((record) => [record.layer, record.load]));
    addStep(seen, { step, loss, auxLoss: balances[step], loads: of, gradNorm: NaN, learningRate: NaN, tokens: 0 }, losses.length); // prettier-ignore
  });
  return heatMap(seen, layer, width);
}
