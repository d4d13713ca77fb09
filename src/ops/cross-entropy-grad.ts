// Gradient of the cross-entropy.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { and, equal, less, mul, sub, xor } from "./binary.js";
import { cast } from "./cast.js";
import { expectDType, expectRank, expectShape } from "./expect.js";
import { arange, fill } from "./fill.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";
import { softmax } from "./softmax.js";

/** dLogits = (softmax(logits) - 1 at the target) dLoss, 0 in rows that are not counted. */
const def: OpDef<"crossEntropyGrad"> = {
  name: "crossEntropyGrad",
  infer([logits, targets, dLoss]) {
    expectTargets("crossEntropyGrad", logits, targets);
    expectDType("crossEntropyGrad", "dLoss", dLoss);
    expectShape("crossEntropyGrad", "dLoss", dLoss, targets.shape, "one for each target");
    return [{ shape: logits.shape }];
  },
  composite([logits, targets, dLoss]) {
    const [R, V] = logits.shape;
    const perLoss = sub(softmax(logits), cast(namedBy(targets, V), "f32"));
    const dLogits = mul(perLoss, reshape(dLoss, [R, 1]));
    return [select(reshape(counted(targets, V), [R, 1]), dLogits, fill(logits.backend, [], 0))];
  },
};

/** @param logits f32 [R, V] @param targets i32 [R] @param dLoss f32 [R] @returns f32 [R, V] @throws ShapeError, DTypeError */
export const crossEntropyGrad = (logits: Tensor, targets: Tensor, dLoss: Tensor): Tensor =>
  dispatch(def, [logits, targets, dLoss], {})[0];

export function expectTargets(op: string, logits: Tensor, targets: Tensor): void {
  expectDType(op, "logits", logits);
  expectRank(op, "logits", logits, 2, "[R, V]");
  expectDType(op, "targets", targets, "i32");
  expectShape(op, "targets", targets, logits.shape.slice(0, 1), "one for each row of logits", logits);
}

/** 1 at each row's target, u32 [R, V]. */
export function namedBy(targets: Tensor, V: number): Tensor {
  return equal(reshape(targets, [targets.size, 1]), arange(targets.backend, V));
}

/** 1 where the target is an index, u32 [R]. */
export function counted(targets: Tensor, V: number): Tensor {
  return and(xor(less(targets, 0), 1), less(targets, V));
}
