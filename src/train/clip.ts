// Clipping by the global norm, on the device.
import { ConfigError } from "../core/errors.js";
import { add, div, minimum, mul } from "../ops/binary.js";
import { fill } from "../ops/fill.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { sqrt } from "../ops/unary.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";

/** The norm of all gradients taken as one vector. @returns f32 [] @throws ConfigError if there is none */
export function globalNorm(grads: ReadonlyMap<string, Tensor>): Tensor {
  if (grads.size === 0) throw new ConfigError("globalNorm: at least one gradient must be given, got none");
  return scope(() => {
    const squares = Array.from(grads.values(), (grad) => {
      const flat = reshape(grad, [grad.size]);
      return reshape(sum(mul(flat, flat)), []);
    });
    return sqrt(squares.reduce((total, square) => add(total, square)));
  });
}

/**
 * What to multiply all gradients by so that their norm is at most `maxNorm`: min(1, maxNorm / (norm + 1e-6)), as torch's clip_grad_norm_.
 * @returns f32 []
 */
export function clipScale(norm: Tensor, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw new ConfigError(`clipScale: maxNorm must be positive, got ${maxNorm}`);
  return scope(() => minimum(div(fill(norm.backend, [], maxNorm), add(norm, 1e-6)), 1));
}
