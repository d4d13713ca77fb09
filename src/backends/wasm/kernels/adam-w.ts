// AdamW with decoupled decay (Loshchilov & Hutter 2019): g = grad * scale; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
// param -= rate * (decay * param + (m / c1) / (sqrt(v / c2) + eps)), in one pass.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { ADAM_W } from "../codes.js";
import type { Engine } from "../engine.js";
import { launchElements } from "../rows.js";

export const adamW =
  (engine: Engine): Kernels["adamW"] =>
  ([grad, hyper], [param, mean, variance], { beta1, beta2, eps, decay }) => {
    // 1 - beta in f64, then rounded once: in f32 it would lose the digits that beta near 1 does not have.
    const factors = new Uint32Array(Float32Array.of(beta1, 1 - beta1, beta2, 1 - beta2).buffer);
    const words = [...[grad, hyper, param, mean, variance].map((view) => engine.at(view)), ...factors];
    launchElements(engine, ADAM_W, sizeOf(grad.shape), 8, words, [eps, decay]);
  };
