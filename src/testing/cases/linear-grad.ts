// linearGrad: any stored weight, and any of the three gradients left out.
import fc from "fast-check";
import { linearGrad } from "../../ops/linear-grad.js";
import { draw, extent, floats, lead, outputs, taste, type DrawnCall } from "../arbitraries.js";
import { matrix, storedAs } from "../packings.js";

export const linearGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      lead,
      width: extent,
      out: outputs,
      stored: storedAs,
      wants: fc.constantFrom(...([7, 1, 2, 4, 3, 5] as const)),
      taste,
    },
    ({ lead, width, out, stored, wants, taste }, random) => ({
      inputs: [
        floats(random, [...lead, width], taste),
        matrix(random, [out, width], stored, taste),
        floats(random, [...lead, out], taste),
      ],
      run: ([x, weight, dy]) => linearGrad(x, weight, dy, [(wants & 1) > 0, (wants & 2) > 0, (wants & 4) > 0]),
    }),
  );
