// The whole comparison: the model that `npm start` trained, and one that learned longer, each in every format.
import type { Backend } from "qwen-blocks";
import { heldOutBatches } from "../train-toy/measure.js";
import { trainToy } from "../train-toy/run.js";
import { hasSavedRun, openSession, readSavedRun } from "../train-toy/session.js";
import { toyRecipe, type Recipe } from "../train-toy/settings.js";
import { readText } from "../train-toy/text.js";
import { compareFormats, heading, type Stored } from "./compare.js";
import { formats } from "./formats.js";

export interface Comparison {
  readonly name: string;
  readonly steps: number;
  readonly widths: string;
  readonly stored: readonly Stored[];
}

/**
 * As many parameters as the toy of `npm start` and four times its steps. Its experts are twice as wide and half as many, so that every row is
 * of whole words in blocks of 32: rows of one block are padded by a half-word for the scale.
 */
export const longerRecipe: Recipe = {
  ...toyRecipe,
  config: { ...toyRecipe.config, moeIntermediateSize: 64, numExperts: 64 },
  defaults: { ...toyRecipe.defaults, steps: 4000 },
};

export interface Surroundings {
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
}

/** Trains the longer run, or goes on with it, unless `folder` holds it whole. @returns whether it does now */
export async function trainLonger(folder: string, { signal, print }: Surroundings): Promise<boolean> {
  const { steps } = longerRecipe.defaults;
  const saved = hasSavedRun(folder) ? await readSavedRun(folder) : undefined;
  // The repository's text changes with the repository.
  const resume = saved?.sha256 === readText([]).sha256;
  if (resume && saved?.step === steps) return true;
  print(`Training ${steps} steps in ${folder}.`);
  const findings = await trainToy({ resume, out: folder, text: [] }, { signal, print, recipe: longerRecipe });
  return findings !== undefined;
}

/** @param steps that training in few bits takes */
export async function compareRun(
  backend: Backend,
  name: string,
  folder: string,
  steps: number,
  print: (line: string) => void,
): Promise<Comparison> {
  const saved = await readSavedRun(folder);
  const { settings } = saved;
  const text = readText(settings.text);
  const session = await openSession(backend, settings, text, folder, saved);
  try {
    const { hiddenSize, moeIntermediateSize } = session.model.config;
    print(`\n${name}: ${saved.step} steps, rows of ${hiddenSize} and ${moeIntermediateSize} numbers.\n${heading}`);
    const { recipe, aux } = settings;
    const material = { training: text.training, recipe, aux, steps };
    const stored = await compareFormats(session.model, formats, heldOutBatches(text, recipe), material, print);
    return { name, steps: saved.step, widths: `${hiddenSize} and ${moeIntermediateSize}`, stored };
  } finally {
    session.dispose();
  }
}
