// A phase on one of our backends: of a random model, or of a file with its weights packed as they are stored there.
import { resolve } from "node:path";
import { checkConfig, setActivations, type Backend, type Qwen3, type Qwen3Config } from "qwen-blocks";
import { open, openModel, randomModel, type BackendOptions } from "../open.js";
import { prepare, type Phase, type PhaseSize } from "../phases.js";
import { takeTurns } from "./turns.js";

export type ModelTask = PhaseSize & { readonly phase: Phase; readonly backend: BackendOptions } & (
    { readonly config: Qwen3Config } | { readonly file: string }
  );

await takeTurns(async (task: ModelTask) => {
  const { phase, tokens, batch } = task;
  const backend = await open(task.backend);
  const model = "file" in task ? await modelOf(backend, task.file) : randomModel(backend, checkConfig(task.config));
  const { run } = await prepare(phase, model, { tokens, batch });
  return { info: { backend: backend.name, ...backend.info }, run };
});

/** With the activations that llama.cpp has. */
async function modelOf(backend: Backend, file: string): Promise<Qwen3> {
  const model = await openModel(backend, resolve(file), 1);
  setActivations(model, "q8");
  return model;
}
