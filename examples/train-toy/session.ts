// A run in progress: the model, its optimizer, where the random numbers stand and what has happened; saved in one file, and restored.
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, Qwen3, Random, disposeAll, parameters, randomWeights } from "qwen-blocks";
import type { Backend, RandomState } from "qwen-blocks";
import { loadTrainingState, saveTrainingState, type JsonValue, type TrainingState } from "qwen-blocks/io";
import { AdamW, Trainer, cosineSchedule } from "qwen-blocks/train";
import { emptyHistory, type History } from "./history.js";
import { expectSame, type Settings } from "./settings.js";
import type { Text } from "./text.js";

/** The scalars of a saved run; its tensors lie beside them. */
interface SavedScalars {
  readonly settings: Settings;
  readonly sha256: string;
  readonly step: number;
  readonly random: RandomState;
  readonly history: History;
}

export interface SavedRun extends SavedScalars {
  readonly tensors: TrainingState;
}

export interface Session {
  readonly settings: Settings;
  readonly model: Qwen3;
  readonly trainer: Trainer;
  /** Draws the windows to learn from. */
  readonly random: Random;
  readonly history: History;
  save(): Promise<void>;
  dispose(): void;
}

/** Makes the folder for results. @throws ConfigError if that cannot be */
export function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (cause) {
    throw new ConfigError(`--out: must name a folder, got ${folder} (${(cause as Error).message})`, { cause });
  }
}

export function hasSavedRun(folder: string): boolean {
  return existsSync(stateFile(folder));
}

/** @throws ConfigError if there is none; FormatError if the file is not one of ours */
export async function readSavedRun(folder: string): Promise<SavedRun> {
  if (!hasSavedRun(folder)) {
    throw new ConfigError(
      `--resume: ${folder} must hold a saved run, got no ${stateFile(folder)}; begin one without --resume`,
    );
  }
  const tensors = await loadTrainingState(stateFile(folder));
  return { ...(tensors.state as unknown as SavedScalars), tensors };
}

/** @throws CheckpointError if the saved run learned from another text or its tensors do not fit */
export async function openSession(
  backend: Backend,
  settings: Settings,
  text: Text,
  folder: string,
  saved: SavedRun | undefined,
): Promise<Session> {
  if (saved) expectSame("text (sha256)", saved.sha256, text.sha256);
  const { recipe, seed, steps, aux } = settings;
  const { peakLearningRate, warmup, weightDecay, maxGradNorm } = recipe;
  const config = { ...recipe.config, routerAuxLossCoef: aux };
  const schedule = cosineSchedule({
    peak: peakLearningRate,
    warmupSteps: Math.floor(warmup * steps),
    totalSteps: steps,
  });
  const model = new Qwen3(randomWeights(backend, seed, config), config);
  const weights = parameters(model);
  const optimizer = new AdamW(weights, { weightDecay });
  const dispose = (): void => {
    optimizer.dispose();
    disposeAll(model);
  };
  try {
    await saved?.tensors.restore({ model: weights, optimizer: optimizer.state });
  } catch (error) {
    dispose();
    throw error;
  }
  optimizer.resume(saved?.step ?? 0);
  const random = saved ? Random.fromState(saved.random) : new Random(seed).fork("windows");
  const history = saved?.history ?? emptyHistory(config.numHiddenLayers, config.numExperts);
  const trainer = new Trainer(model, { optimizer, schedule, routerAuxLossCoef: aux, maxGradNorm });
  const save = async (): Promise<void> => {
    const scalars: SavedScalars = { settings, sha256: text.sha256, step: trainer.steps, random: random.state, history };
    const state = scalars as unknown as JsonValue;
    await saveTrainingState(stateFile(folder), { model: weights, optimizer: optimizer.state, state });
  };
  return { settings, model, trainer, random, history, save, dispose };
}

function stateFile(folder: string): string {
  return join(folder, "training-state.safetensors");
}
