// Matrix product, of two matrices or of two batches of them.
import { ShapeError } from "../core/errors.js";
import { showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectDType } from "./expect.js";

const def: OpDef<"matmul"> = {
  name: "matmul",
  infer([a, b], { transposeA, transposeB }) {
    expectDType("matmul", "a", a);
    expectDType("matmul", "b", b);
    const rank = a.shape.length;
    const [m, inner] = transposeA ? [a.shape[rank - 1], a.shape[rank - 2]] : a.shape.slice(-2);
    const [inner2, n] = transposeB ? [b.shape[rank - 1], b.shape[rank - 2]] : b.shape.slice(-2);
    const sameBatch = rank === 2 || a.shape[0] === b.shape[0];
    if ((rank !== 2 && rank !== 3) || b.shape.length !== rank || !sameBatch || inner !== inner2) {
      const turned = (transpose: boolean): string => (transpose ? " transposed" : "");
      throw new ShapeError(
        `matmul: a and b must be [m,k] and [k,n], both with the same batch or none, got ${showShape(a.shape)}${turned(transposeA)} and ${showShape(b.shape)}${turned(transposeB)}`,
      );
    }
    return [{ shape: [...a.shape.slice(0, -2), m, n] }];
  },
};

export interface MatmulOptions {
  /** `a` is stored [k, m]. */
  readonly transposeA?: boolean;
  /** `b` is stored [n, k]. */
  readonly transposeB?: boolean;
}

/** y = a b. @param a f32 [m, k] or [batch, m, k] @param b f32 [k, n] or [batch, k, n] @throws ShapeError, DTypeError */
export const matmul = (a: Tensor, b: Tensor, { transposeA = false, transposeB = false }: MatmulOptions = {}): Tensor =>
  dispatch(def, [a, b], { transposeA, transposeB })[0];
