// The loss of language modelling.
import { ShapeError } from "../core/errors.js";
import { rowsOf, sameShape, showShape } from "../core/shape.js";
import { div, equal, maximum, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { crossEntropy } from "../ops/cross-entropy.js";
import { fill } from "../ops/fill.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";

/** A target that does not count, as in transformers and torch. */
export const ignoredTarget = -100;

/**
 * Mean cross entropy in nats over the targets that count; 0 if none does. `targets[b, t]` is what follows token t: the caller has shifted.
 * @param logits f32 [B, T, V] @param targets i32 [B, T], {@link ignoredTarget} where nothing counts @returns f32 []
 * @throws ShapeError, DTypeError
 */
export function nextTokenLoss(logits: Tensor, targets: Tensor): Tensor {
  if (!sameShape(logits.shape.slice(0, -1), targets.shape)) {
    throw new ShapeError(
      `nextTokenLoss: targets must have shape ${showShape(logits.shape.slice(0, -1))}, one per row of the logits, got ${showShape(targets.shape)}`,
    );
  }
  const { rows, width } = rowsOf(logits.shape);
  return scope(() => {
    const flat = reshape(targets, [rows]);
    const losses = crossEntropy(reshape(logits, [rows, width]), flat);
    const ignored = sum(cast(equal(flat, ignoredTarget), "f32"));
    const counted = maximum(sub(fill(logits.backend, [1], rows), ignored), 1);
    return reshape(div(sum(losses), counted), []);
  });
}
