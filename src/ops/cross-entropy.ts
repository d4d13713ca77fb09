// The loss of a language model, one number per row.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { sub } from "./binary.js";
import { counted, crossEntropyGrad, expectTargets, namedBy } from "./cross-entropy-grad.js";
import { fill } from "./fill.js";
import { logSumExp } from "./log-sum-exp.js";
import { sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";

const def: OpDef<"crossEntropy"> = {
  name: "crossEntropy",
  infer([logits, targets]) {
    expectTargets("crossEntropy", logits, targets);
    return [{ shape: targets.shape }];
  },
  composite([logits, targets]) {
    const [R, V] = logits.shape;
    const zero = fill(logits.backend, [], 0);
    const ofTarget = sum(select(namedBy(targets, V), logits, zero)); // [R, 1]
    return [select(counted(targets, V), reshape(sub(logSumExp(logits), ofTarget), [R]), zero)];
  },
  vjp: ([logits, targets], _, [dLoss], __, [wantsLogits]) => [
    dLoss && wantsLogits ? crossEntropyGrad(logits, targets, dLoss) : undefined,
    undefined,
  ],
};

/**
 * loss[r] = log(sum(exp(logits[r]))) - logits[r, targets[r]]; 0, and no gradient, where the target is -100 (or any number that is no index:
 * check targets on the host).
 * @param logits f32 [R, V] @param targets i32 [R] @returns f32 [R] @throws ShapeError, DTypeError
 */
export const crossEntropy = (logits: Tensor, targets: Tensor): Tensor => dispatch(def, [logits, targets], {})[0];
