// What a run remembers of its steps, for the report. It is saved with the run, so a resumed one reports all of them.
import type { StepReport } from "qwen-blocks/train";

export interface History {
  /** Of training alone, without saving and measuring. */
  seconds: number;
  /** By step. */
  readonly losses: number[];
  /** By step. */
  readonly auxLosses: number[];
  /** By step: the layers' mean of largest load over mean load. */
  readonly balances: number[];
  readonly validation: { readonly step: number; readonly loss: number }[];
  /** [layer][period][expert]: how many slots chose the expert in that part of the run. */
  readonly loads: number[][][];
}

/** Parts of a run over which loads are added up; ten of these divide evenly, so the last tenth of a run is the last three. */
export const periods = 30;

export function emptyHistory(layers: number, experts: number): History {
  const zeros = (): number[][] => Array.from({ length: periods }, () => new Array<number>(experts).fill(0));
  return {
    seconds: 0,
    losses: [],
    auxLosses: [],
    balances: [],
    validation: [],
    loads: Array.from({ length: layers }, zeros),
  };
}

/** Adds a step of a run of `steps`. */
export function addStep(history: History, { step, loss, auxLoss, loads }: StepReport, steps: number): void {
  const layers = [...loads.values()];
  history.losses.push(loss);
  history.auxLosses.push(auxLoss);
  history.balances.push(mean(layers.map(maxOverMean)));
  layers.forEach((load, layer) => {
    const total = history.loads[layer][periodOf(step, steps)];
    load.forEach((count, expert) => (total[expert] += count));
  });
}

/** [layer][expert]: loads over the last tenth of a finished run, or its last step if it has fewer than ten. */
export function lastLoads({ loads, losses: { length: steps } }: History): number[][] {
  const first = Math.min(0.9 * periods, periodOf(steps - 1, steps));
  return loads.map((layer) =>
    layer.slice(first).reduce((total, period) => total.map((count, expert) => count + period[expert])),
  );
}

/** 1 at perfect balance, E / k where all tokens choose the same k of E experts. */
export function maxOverMean(load: ArrayLike<number>): number {
  const counts = Array.from(load);
  return Math.max(...counts) / mean(counts);
}

export function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

function periodOf(step: number, steps: number): number {
  return Math.floor((step * periods) / steps);
}
