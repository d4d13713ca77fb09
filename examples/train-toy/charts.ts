// The report's pictures, as SVG text. Colours are custom properties of the page, so that one picture serves light and dark.
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import type { Findings } from "./findings.js";
import { lastLoads, mean, type History } from "./history.js";

const { document } = parseHTML("<html></html>");

export const marginBottom = 44;

/** Of the layers in the load profile, in order, and again from the first. */
export const layerColors = ["--training", "--held-out", "--balance"];

/** Draws a picture that screen readers call by its title and description. */
export function draw(title: string, description: string, options: Plot.PlotOptions): string {
  const picture = Plot.plot({
    document: document,
    className: "chart",
    marginLeft: 44,
    marginTop: 28,
    marginBottom,
    ...options,
  });
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `${title}. ${description}`);
  return picture.outerHTML;
}

/** Steps are counted from 1 where people read them. */
const stepAxis: Plot.ScaleOptions = { label: "training step →", ticks: 6, nice: false };

interface Point {
  readonly step: number;
  readonly value: number;
}

function pointsOf(values: readonly number[]): Point[] {
  return values.map((value, i) => ({ step: i + 1, value }));
}

/** A faint line of the values, and a strong one of their running mean. */
function noisyLine(values: readonly number[], color: string): Plot.Markish[] {
  const points = pointsOf(values);
  const k = Math.max(1, Math.round(values.length / 20));
  const smooth = { k, reduce: "mean", anchor: "end", strict: false } as const;
  return [
    Plot.lineY(points, { x: "step", y: "value", stroke: color, strokeOpacity: 0.35, strokeWidth: 1 }),
    Plot.lineY(points, Plot.windowY(smooth, { x: "step", y: "value", stroke: color, strokeWidth: 2.5 })),
  ];
}

/** A level to compare with, named at its right end, above or below. */
function level(name: string, value: number, steps: number, side: "above" | "below"): Plot.Markish[] {
  const label = { x: steps, y: value, text: [name], textAnchor: "end", fill: "var(--muted)" } as const;
  return [
    Plot.ruleY([value], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
    Plot.text([name], { ...label, dy: side === "above" ? -8 : 9 }),
  ];
}

export function lossChart({ losses, validation }: History, { entropies }: Findings, width: number): string {
  const last = validation.at(-1)?.loss ?? NaN;
  const steps = losses.length;
  return draw(
    "Loss by training step",
    `Cross entropy in nats per token. Training begins at ${losses[0].toFixed(2)}; the last look at held-out text gave ${last.toFixed(2)}.`,
    {
      width,
      height: Math.round(Math.max(300, width * 0.42)),
      x: stepAxis,
      y: { label: "↑ nats per token", grid: true, nice: true },
      marks: [
        ...level("uniform", entropies.uniform, steps, "above"),
        ...level("unigram", entropies.unigram.crossEntropy, steps, "above"),
        ...level("bigram", entropies.bigram.crossEntropy, steps, "above"),
        ...noisyLine(losses, "var(--training)"),
        Plot.lineY(validation, { x: "step", y: "loss", stroke: "var(--held-out)", strokeWidth: 2.5 }),
        Plot.dot(validation, { x: "step", y: "loss", fill: "var(--held-out)", r: 4.5, symbol: "diamond" }),
      ],
    },
  );
}

export function auxLossChart({ auxLosses }: History, k: number, width: number): string {
  const [first, last] = [auxLosses[0], auxLosses[auxLosses.length - 1]];
  return draw(
    "Load-balancing loss by training step",
    `From ${first.toFixed(2)} to ${last.toFixed(2)}; perfect balance is ${k}.`,
    {
      width,
      height: 240,
      x: stepAxis,
      y: { label: "↑ auxiliary loss", grid: true, insetBottom: 20 },
      marks: [...level("perfect balance", k, auxLosses.length, "below"), ...noisyLine(auxLosses, "var(--balance)")],
    },
  );
}

export function balanceChart({ balances }: History, width: number): string {
  const last = balances[balances.length - 1];
  return draw(
    "Largest over mean expert load by training step",
    `From ${balances[0].toFixed(1)} to ${last.toFixed(1)}; 1 is perfect balance.`,
    {
      width,
      height: 240,
      x: stepAxis,
      y: { label: "↑ largest / mean load", grid: true, nice: true, zero: true },
      marks: [...level("perfect balance", 1, balances.length, "below"), ...noisyLine(balances, "var(--balance)")],
    },
  );
}

export function entropyChart({ validation, entropies }: Findings, width: number): string {
  const { uniform, unigram, bigram } = entropies;
  const bars = [
    { name: "uniform", nats: uniform, color: "var(--bar)" },
    { name: "unigram", nats: unigram.crossEntropy, color: "var(--bar)" },
    { name: "bigram", nats: bigram.crossEntropy, color: "var(--bar)" },
    { name: "this model", nats: validation, color: "var(--held-out)" },
  ];
  return draw("Nats per held-out token", bars.map(({ name, nats }) => `${name} ${nats.toFixed(2)}`).join(", "), {
    width,
    height: 230,
    marginLeft: 92,
    marginTop: 8,
    x: { label: "nats per token →", grid: true },
    y: { label: null, domain: bars.map(({ name }) => name) },
    marks: [
      Plot.barX(bars, { x: "nats", y: "name", fill: "color", insetTop: 4, insetBottom: 4, rx: 3 }),
      Plot.text(bars, {
        x: "nats",
        y: "name",
        text: ({ nats }: { nats: number }) => nats.toFixed(2),
        textAnchor: "end",
        dx: -8,
        fill: "var(--on-bar)",
        fontWeight: 600,
      }),
      Plot.ruleX([0], { stroke: "var(--muted)" }),
    ],
  });
}

/** Each layer's experts from the busiest to the idlest. */
export function loadProfile(history: History, width: number): string {
  const curves = lastLoads(history).flatMap((load, layer) => {
    const shares = load.map((count) => count / mean(load)).sort((a, b) => b - a);
    return shares.map((share, rank) => ({ layer: `layer ${layer}`, rank: rank + 1, share }));
  });
  const labels = curves.filter(({ rank }) => rank === 1);
  return draw(
    "Expert load over the last tenth of the run, busiest expert first",
    labels.map(({ layer, share }) => `${layer}: the busiest expert has ${share.toFixed(1)} times the mean`).join("; "),
    {
      width,
      height: 240,
      x: { label: "experts, busiest first →", ticks: 6 },
      y: { label: "↑ load / fair share", grid: true, nice: true, zero: true },
      color: {
        domain: labels.map(({ layer }) => layer),
        range: labels.map((_, layer) => `var(${layerColors[layer % layerColors.length]})`),
      },
      marks: [
        Plot.ruleY([1], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
        Plot.lineY(curves, { x: "rank", y: "share", z: "layer", stroke: "layer", strokeWidth: 2.5 }),
      ],
    },
  );
}
