// Logarithm of a sum of exponentials, over the last axis.
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, sub } from "./binary.js";
import { max, sum } from "./reduce.js";
import { stopGradient } from "./stop-gradient.js";
import { exp, log } from "./unary.js";

/** log(sum(exp(x))) over the last axis, which is kept with extent 1. Shifted by the maximum, so nothing overflows. */
export function logSumExp(x: Tensor): Tensor {
  return scope(() => {
    const peak = stopGradient(max(x));
    return add(log(sum(exp(sub(x, peak)))), peak);
  });
}
