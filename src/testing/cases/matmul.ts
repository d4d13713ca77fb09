// matmul: matrices and batches of them, either side transposed, any extent 0.
import fc from "fast-check";
import { matmul } from "../../ops/matmul.js";
import { draw, extent, few, floats, taste, type DrawnCall } from "../arbitraries.js";

export const matmulCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      batch: fc.option(few, { nil: undefined }),
      m: extent,
      n: extent,
      inner: extent,
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
      taste,
    },
    ({ batch, m, n, inner, transposeA, transposeB, taste }, random) => {
      const front = batch === undefined ? [] : [batch];
      return {
        inputs: [
          floats(random, [...front, ...(transposeA ? [inner, m] : [m, inner])], taste),
          floats(random, [...front, ...(transposeB ? [n, inner] : [inner, n])], taste),
        ],
        run: ([a, b]) => [matmul(a, b, { transposeA, transposeB })],
        params: [0, 1],
        smooth: taste === "normal",
      };
    },
  );
