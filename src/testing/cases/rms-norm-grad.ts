// rmsNormGrad: both gradients, and each alone.
import type fc from "fast-check";
import { rmsNormGrad } from "../../ops/rms-norm-grad.js";
import { among, draw, epsilon, extent, floats, lead, taste, type DrawnCall } from "../arbitraries.js";

export const rmsNormGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    { lead, width: extent, eps: epsilon, taste, wants: among(3, 1, 2) },
    ({ lead, width, eps, taste, wants }, random) => ({
      inputs: [
        floats(random, [...lead, width], taste),
        floats(random, [width], taste),
        floats(random, [...lead, width], taste),
      ],
      run: ([x, weight, dy]) => rmsNormGrad(x, weight, dy, eps, [(wants & 1) > 0, (wants & 2) > 0]),
    }),
  );
