// The main job from end to end. Read it as a table of contents: each line names the file that does the work.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { BackendError, allParameters, configToJson, type Backend } from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { qwen3Names, saveCheckpoint, writeFileAtomic } from "qwen-blocks/io";
import { train } from "qwen-blocks/train";
import { findOut, type Findings } from "./findings.js";
import { addStep } from "./history.js";
import { evaluateOn, heldOutBatches, type HeldOut } from "./measure.js";
import type { Options } from "./options.js";
import { showProgress } from "./progress.js";
import { reportPage } from "./report.js";
import { hasSavedRun, makeFolder, openSession, readSavedRun, type Session } from "./session.js";
import { newSettings, savedSettings, toyRecipe, type Recipe } from "./settings.js";
import { showSummary } from "./summary.js";
import { checkLength, readText, type Text } from "./text.js";

export interface Surroundings {
  /** Ends the run at the next step; it is saved. */
  readonly signal: AbortSignal;
  readonly print: (line: string) => void;
  readonly recipe?: Recipe;
}

/** Results go to files; @returns the findings, or undefined if the signal ended the run early. */
export async function trainToy(
  options: Options,
  { signal, print, recipe = toyRecipe }: Surroundings,
): Promise<Findings | undefined> {
  const saved = options.resume ? await readSavedRun(options.out) : undefined;
  const settings = saved ? savedSettings(saved.settings, options, recipe) : newSettings(options, recipe);
  const text = readText(settings.text);
  checkLength(text, recipe.contextLength);
  makeFolder(options.out);
  if (!saved && hasSavedRun(options.out))
    print(`The run saved in ${options.out} will be replaced; --resume would go on with it.`);

  await using backend = await open(options.backend, print);
  const session = await openSession(backend, settings, text, options.out, saved);
  try {
    print(`Learning from ${text.name}: ${text.bytes} bytes in ${text.files} files, backend ${backend.name}.`);
    const heldOut = heldOutBatches(text, recipe);
    await learn(session, text, heldOut, signal, print);
    const findings = await findOut(session, text, heldOut, signal);
    await writeResults(options.out, session, text, findings);
    print(showSummary(findings, options.out));
    return findings;
  } catch (error) {
    if (!signal.aborted || error !== signal.reason) throw error;
    const step = `step ${session.trainer.steps} of ${settings.steps}`;
    const folder = options.out === "out" ? "" : ` --out ${options.out}`;
    print(`Interrupted and saved at ${step}. Go on with: npm start -- --resume${folder}`);
    return undefined;
  } finally {
    session.dispose();
  }
}

/** A backend that was asked for by name and does not open is an error; without a name the best one is taken, and why is said. */
async function open(name: string | undefined, print: (line: string) => void): Promise<Backend> {
  const { backend, passedOver } = await openBackend(name === undefined ? {} : { prefer: name as BackendName });
  const reasons = passedOver.map((other) => `${other.name}: ${other.reason}`).join("; ");
  if (name === undefined || backend.name === name) {
    if (reasons !== "") print(`Passed over ${reasons}`);
    return backend;
  }
  await backend[Symbol.asyncDispose]();
  throw new BackendError(`--backend: ${name} must open, got ${reasons}`);
}

const saveEvery = 50;

/** Trains to the last step. Rejects with the signal's reason when that is aborted; what was done is saved then. */
async function learn(
  { settings, trainer, random, history, save }: Session,
  text: Text,
  heldOut: HeldOut,
  signal: AbortSignal,
  print: (line: string) => void,
): Promise<void> {
  const { steps, recipe } = settings;
  const lookEvery = Math.max(1, Math.ceil(steps / 8));
  const progress = showProgress(steps, trainer.steps, print);
  try {
    let began = performance.now();
    for await (const report of train(trainer, text.training, { ...recipe, steps, random, signal })) {
      history.seconds += (performance.now() - began) / 1000;
      addStep(history, report, steps);
      progress.step(report, history.balances[report.step]);
      if (trainer.steps % lookEvery === 0 || trainer.steps === steps) {
        const loss = await evaluateOn(trainer.model, heldOut.few);
        history.validation.push({ step: trainer.steps, loss });
      }
      if (trainer.steps % saveEvery === 0 && trainer.steps < steps) await save();
      began = performance.now();
    }
  } finally {
    progress.stop();
  }
  await save();
  signal.throwIfAborted();
}

async function writeResults(out: string, session: Session, text: Text, findings: Findings): Promise<void> {
  const { model, history, settings } = session;
  const { config } = model;
  await saveCheckpoint(join(out, "checkpoint"), allParameters(model), configToJson(config), {
    dtype: "f32",
    layout: "per-expert",
    names: qwen3Names(config),
  });
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const page = reportPage({ settings, config, text, history, findings, backend: model.backend, version });
  await writeFileAtomic(join(out, "report.html"), new TextEncoder().encode(page));
}
