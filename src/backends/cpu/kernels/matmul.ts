// y = a b, rank 2, or 3 with a batch; either side may be read transposed.
import type { Kernel } from "../../backend.js";
import { product, transposed } from "../product.js";
import { floats } from "../read.js";

export const matmul: Kernel<"matmul", void> = ([a, b], [y], { transposeA, transposeB }) => {
  const [rows, outs] = y.shape.slice(-2);
  const inner = a.shape[a.shape.length - (transposeA ? 2 : 1)];
  const batch = y.shape.length === 3 ? y.shape[0] : 1;
  const left = floats(a);
  const right = floats(b);
  const out = floats(y);
  for (let i = 0; i < batch; i++) {
    const x = transposeA ? transposed(left, i * inner * rows, inner, rows) : left;
    const w = transposeB ? right : transposed(right, i * inner * outs, inner, outs);
    const xAt = transposeA ? 0 : i * rows * inner;
    const wAt = transposeB ? i * outs * inner : 0;
    product(x, xAt, w, wAt, undefined, 0, out, i * rows * outs, outs, rows, outs, inner);
  }
};
