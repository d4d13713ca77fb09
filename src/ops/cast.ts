// Change of element type, by value (cast) or by bits (bitcast, free).
import type { DType } from "../core/dtype.js";
import { alias } from "../tensor/alias.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"cast"> = {
  name: "cast",
  infer([x]) {
    expectDType("cast", "x", x, "f32", "i32", "u32");
    return [{ shape: x.shape }];
  },
};

/** Values as another type. Towards integers it truncates and saturates, and NaN becomes 0. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  dispatch(def, [x], {}, { specs: [{ shape: x.shape, dtype }] })[0];

/** The same bits read as another type; shares memory with `x` and carries no gradient. */
export const bitcast = (x: Tensor, dtype: DType): Tensor => alias("bitcast", x, { shape: x.shape, dtype });
