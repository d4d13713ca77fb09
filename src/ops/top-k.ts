// The k largest elements of each row, in descending order.
import { ConfigError } from "../core/errors.js";
import { rowsOf, showShape, withLastAxis } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"topK"> = {
  name: "topK",
  infer([x], { k }) {
    expectDType("topK", "x", x);
    const { width } = rowsOf(x.shape);
    if (x.shape.length === 0 || !Number.isInteger(k) || k < 0 || k > width) {
      throw new ConfigError(`topK: k must be an integer of 0 to the last axis of x ${showShape(x.shape)}, got ${k}`);
    }
    const shape = withLastAxis(x.shape, k);
    return [{ shape }, { shape, dtype: "i32" }];
  },
};

/**
 * Stable: of equal elements the lower index comes first; NaN comes last. k = n sorts the row.
 * @param x f32 [..., n] @returns values f32 and indices i32, both [..., k]; the values carry a gradient @throws ConfigError if k > n
 */
export function topK(x: Tensor, k: number): { readonly values: Tensor; readonly indices: Tensor } {
  const [values, indices] = dispatch(def, [x], { k });
  return { values, indices };
}
