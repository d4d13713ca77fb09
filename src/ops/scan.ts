// Running sums.
import { ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"scan"> = {
  name: "scan",
  infer([x], { axis }) {
    expectDType("scan", "x", x, "f32", "i32");
    if (!(axis in x.shape)) throw new ShapeError(`scan: axis must name an axis of ${showShape(x.shape)}, got ${axis}`);
    return [{ shape: x.shape, dtype: x.dtype }];
  },
};

/** y[i] = x[0] + ... + x[i] along `axis`; without x[i] itself if `exclusive`. f32 or i32. */
export const scan = (x: Tensor, axis: number, { exclusive = false }: { readonly exclusive?: boolean } = {}): Tensor =>
  dispatch(def, [x], { axis, exclusive })[0];
