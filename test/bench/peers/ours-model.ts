// A phase of a random model on one of our backends.
import { checkConfig, type Qwen3Config } from "qwen-blocks";
import { open, randomModel, type BackendOptions } from "../open.js";
import { prepare, type Phase, type PhaseSize } from "../phases.js";
import { takeTurns } from "./turns.js";

export interface ModelTask extends PhaseSize {
  readonly phase: Phase;
  readonly config: Qwen3Config;
  readonly backend: BackendOptions;
}

await takeTurns(async ({ phase, config, backend: options, ...size }: ModelTask) => {
  const backend = await open(options);
  const { run } = await prepare(phase, randomModel(backend, checkConfig(config)), size);
  return { info: { backend: backend.name, ...backend.info }, run };
});
