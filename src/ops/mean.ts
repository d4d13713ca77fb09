// Arithmetic mean over axes.
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { div } from "./binary.js";
import { sum } from "./reduce.js";

/** Mean over `axes`, each kept with extent 1; over the last one unless given. */
export function mean(x: Tensor, axes?: readonly number[]): Tensor {
  return scope(() => {
    const total = sum(x, axes);
    return div(total, x.size / Math.max(total.size, 1));
  });
}
