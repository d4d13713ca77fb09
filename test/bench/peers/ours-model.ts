// A phase on one of our backends: of a random model, or of a file with its weights packed as they are stored there.
import { checkConfig, type Qwen3Config } from "qwen-blocks";
import { open, openModel, randomModel, type BackendOptions } from "../open.js";
import { prepare, type Phase, type PhaseSize } from "../phases.js";
import { takeTurns } from "./turns.js";

export type ModelTask = PhaseSize & { readonly phase: Phase; readonly backend: BackendOptions } & (
    { readonly config: Qwen3Config } | { readonly file: string }
  );

await takeTurns(async (task: ModelTask) => {
  const { phase, tokens, batch } = task;
  const backend = await open(task.backend);
  const model =
    "file" in task ? await openModel(backend, task.file, 1) : randomModel(backend, checkConfig(task.config));
  const { run } = await prepare(phase, model, { tokens, batch });
  return { info: { backend: backend.name, ...backend.info }, run };
});
