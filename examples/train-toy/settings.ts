// What makes a run the run it is: the same settings and text give the same weights, bit by bit, on the CPU backend.
import { resolve } from "node:path";
import { CheckpointError, presets, type Qwen3Config } from "qwen-blocks";
import type { Options } from "./options.js";
import { documentToken } from "./text.js";

/** What no option changes. */
export interface Recipe {
  readonly config: Qwen3Config;
  readonly contextLength: number;
  readonly batchSize: number;
  readonly peakLearningRate: number;
  /** Share of the steps in which the learning rate rises. */
  readonly warmup: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  /** Length of the text that the trained model writes. */
  readonly sampleTokens: number;
  readonly defaults: { readonly steps: number; readonly seed: number; readonly aux: number };
}

export interface Settings {
  /** Absolute paths; empty for the repository's own text. */
  readonly text: readonly string[];
  readonly steps: number;
  readonly seed: number;
  readonly aux: number;
  readonly recipe: Recipe;
}

/**
 * The rates suit a model of width 64: with the 0.02 of large models its experts would begin too small to be told apart, and the router
 * would send everything to a few of them.
 */
export const toyRecipe: Recipe = {
  config: { ...presets.toy, initializerRange: 0.1, bosTokenId: documentToken },
  contextLength: 64,
  batchSize: 8,
  peakLearningRate: 1e-2,
  warmup: 0.1,
  weightDecay: 0.1,
  maxGradNorm: 1,
  sampleTokens: 600,
  defaults: { steps: 1000, seed: 1, aux: 0.02 },
};

/** Settings of a new run. */
export function newSettings({ text, steps, seed, aux }: Options, recipe: Recipe): Settings {
  const { defaults } = recipe;
  return {
    text: text.map((path) => resolve(path)),
    steps: steps ?? defaults.steps,
    seed: seed ?? defaults.seed,
    aux: aux ?? defaults.aux,
    recipe,
  };
}

/**
 * Settings of a saved run, which the options of this call may repeat but not change.
 * @throws CheckpointError that names what differs
 */
export function savedSettings(saved: Settings, { text, steps, seed, aux }: Options, recipe: Recipe): Settings {
  const given = { text: text.length > 0 ? text.map((path) => resolve(path)) : undefined, steps, seed, aux };
  for (const [option, value] of Object.entries(given)) {
    if (value !== undefined) expectSame(`--${option}`, saved[option as keyof typeof given], value);
  }
  for (const [field, value] of Object.entries(recipe)) expectSame(field, saved.recipe[field as keyof Recipe], value);
  return saved;
}

/** @throws CheckpointError */
export function expectSame(what: string, saved: unknown, given: unknown): void {
  const [was, is] = [JSON.stringify(saved), JSON.stringify(given)];
  if (was === is) return;
  throw new CheckpointError(
    `${what}: must be that of the saved run, ${was}, got ${is}; or begin a new run without --resume`,
  );
}
