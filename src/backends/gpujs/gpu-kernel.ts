// The shape of a kernel on gpu.js: it computes, or says in a few words why not; then the host does.
import type { OpName, OpTable } from "../backend.js";
import type { Engine } from "./engine.js";

export type GpuKernel<K extends OpName> = (
  engine: Engine,
  inputs: OpTable[K]["inputs"],
  outputs: OpTable[K]["outputs"],
  attrs: OpTable[K]["attrs"],
) => string | undefined;
