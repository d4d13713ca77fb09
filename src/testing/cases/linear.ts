// linear: any stored weight, with and without a bias, f32 and q8 activations, any number of axes before the last.
import fc from "fast-check";
import { linear } from "../../ops/linear.js";
import { activations, among, draw, extent, floats, lead, outputs, taste, type DrawnCall } from "../arbitraries.js";
import { matrix, plainOf, storedAs } from "../packings.js";

export const linearCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      lead,
      width: extent,
      blocks: among(0, 0, 1),
      out: outputs,
      bias: fc.boolean(),
      activations,
      stored: storedAs,
      taste,
    },
    ({ lead, width, blocks, out, bias, activations, stored, taste }, random) => {
      const inner = 32 * blocks + width;
      const inputs = [
        floats(random, [...lead, inner], taste),
        matrix(random, [out, inner], stored, taste),
        bias ? floats(random, [out], taste) : undefined,
      ];
      return {
        inputs,
        run: ([x, weight, bias]) => [linear(x, weight, bias, { activations })],
        params: plainOf(inputs, [0, 1, 2]),
        straightThrough: activations === "q8",
        smooth: taste === "normal",
      };
    },
  );
