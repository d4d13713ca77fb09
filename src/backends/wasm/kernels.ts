// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { matmul } from "./kernels/matmul.js";
import { borrowed } from "./borrowed.js";

export function kernelsOf(engine: Engine): Kernels {
  return {
    ...borrowed(engine),
    matmul: matmul(engine),
  };
}
