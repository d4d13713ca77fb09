// y = a b, per batch.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { sideOf, tiledProduct } from "../product-tiles.js";

export const matmul =
  (engine: Engine): Kernels["matmul"] =>
  ([a, b], [y], { transposeA, transposeB }) => {
    const [m, n] = y.shape.slice(-2);
    const depth = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const batch = sizeOf(y.shape.slice(0, -2));
    tiledProduct(engine, {
      a: sideOf(a, transposeA),
      b: sideOf(b, !transposeB),
      bias: undefined,
      y,
      batch,
      m,
      n,
      depth,
    });
  };
