// Learning rate as a function of the step, so that a resumed run needs nothing but its step number.
import { ConfigError, IndexError } from "../core/errors.js";

/** The learning rate of step `step`, counted from 0. */
export type Schedule = (step: number) => number;

export interface ScheduleOptions {
  /** The highest learning rate, reached at step `warmupSteps`. */
  readonly peak: number;
  /** Steps before it, in which the rate rises linearly; 0 for none. */
  readonly warmupSteps: number;
  /** Steps of the run; from this one on the rate is `floor`. */
  readonly totalSteps: number;
  /** The lowest learning rate after the peak. 0 if left out. */
  readonly floor?: number;
}

/**
 * Rises to the peak, then falls along half a cosine: `floor + (peak - floor) (1 + cos(pi p)) / 2` with
 * `p = (step - warmupSteps) / (totalSteps - warmupSteps)` (Loshchilov and Hutter 2016, SGDR, without restarts).
 *
 * In the warmup it is `peak (step + 1) / (warmupSteps + 1)`, so that the first step is not lost to a rate of 0.
 *
 * @throws ConfigError if an option is out of range; the schedule throws IndexError if the step is negative or no integer.
 */
export function cosineSchedule(options: ScheduleOptions): Schedule {
  return schedule("cosineSchedule", options, (progress) => (1 + Math.cos(Math.PI * progress)) / 2);
}

/** Rises like {@link cosineSchedule}, then falls linearly: `floor + (peak - floor) (1 - p)`. Throws as it does. */
export function linearSchedule(options: ScheduleOptions): Schedule {
  return schedule("linearSchedule", options, (progress) => 1 - progress);
}

function schedule(where: string, options: ScheduleOptions, decay: (progress: number) => number): Schedule {
  const { peak, warmupSteps, totalSteps, floor = 0 } = options;
  const check = (name: string, value: number, rule: string, holds: boolean): void => {
    if (!holds) throw new ConfigError(`${where}: ${name} must be ${rule}, got ${value}`);
  };
  check("peak", peak, "a positive number", Number.isFinite(peak) && peak > 0);
  check("totalSteps", totalSteps, "a positive integer", Number.isSafeInteger(totalSteps) && totalSteps > 0);
  check(
    "warmupSteps",
    warmupSteps,
    `an integer from 0 to totalSteps - 1 = ${totalSteps - 1}`,
    isStep(warmupSteps) && warmupSteps < totalSteps,
  );
  check("floor", floor, `a number from 0 to peak = ${peak}`, floor >= 0 && floor <= peak);
  return (step) => {
    if (!isStep(step)) throw new IndexError(`${where}: step must be an integer of at least 0, got ${step}`);
    if (step < warmupSteps) return (peak * (step + 1)) / (warmupSteps + 1);
    if (step >= totalSteps) return floor;
    return floor + (peak - floor) * decay((step - warmupSteps) / (totalSteps - warmupSteps));
  };
}

function isStep(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
