// All kernels of the wasm backend, by the name of their op.
import type { Kernels } from "../backend.js";
import type { Engine } from "./engine.js";
import { appendKV } from "./kernels/append-kv.js";
import { attention } from "./kernels/attention.js";
import { attentionGrad } from "./kernels/attention-grad.js";
import { matmul } from "./kernels/matmul.js";
import { qkNormRope } from "./kernels/qk-norm-rope.js";
import { rope } from "./kernels/rope.js";
import { borrowed } from "./borrowed.js";

export function kernelsOf(engine: Engine): Kernels {
  return {
    ...borrowed(engine),
    matmul: matmul(engine),
    attentionGrad: attentionGrad(engine),
    attention: attention(engine),
    appendKV: appendKV(engine),
    qkNormRope: qkNormRope(engine),
    rope: rope(engine),
  };
}
