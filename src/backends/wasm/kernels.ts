// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { linear } from "./kernels/linear.js";
import { linearGrad } from "./kernels/linear-grad.js";
import { matmul } from "./kernels/matmul.js";
import { borrowed } from "./borrowed.js";

export function kernelsOf(engine: Engine): Kernels {
  return {
    ...borrowed(engine),
    matmul: matmul(engine),
    linear: linear(engine),
    linearGrad: linearGrad(engine),
  };
}
