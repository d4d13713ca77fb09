// Writes or adds rows by index into memory that the caller owns.
import { ShapeError } from "../core/errors.js";
import { sameShape, showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def = (into: Tensor): OpDef<"scatterRows"> => ({
  name: "scatterRows",
  infer([x, rows]) {
    expectDType("scatterRows", "rows", rows, "i32");
    expectDType("scatterRows", "x", x, into.dtype);
    if (into.shape.length === 0 || !sameShape(x.shape, [...rows.shape, ...into.shape.slice(1)])) {
      throw new ShapeError(
        `scatterRows: x must have the shape of rows ${showShape(rows.shape)} followed by a row of the target ${showShape(into.shape)}, got ${showShape(x.shape)}`,
      );
    }
    return [{ shape: into.shape, dtype: into.dtype }];
  },
});

/**
 * into[rows[i]] = x[i] ("set": the last of equal rows stays) or += x[i] ("add", in order). A row of -1 or out of range is skipped.
 * @param x rows.shape followed by a row of the target @param rows i32 @throws ShapeError, DTypeError, AliasError
 */
export function scatterRows(x: Tensor, rows: Tensor, into: Tensor, mode: "set" | "add"): void {
  dispatch(def(into), [x, rows], { mode }, { targets: [into] });
}
