// expertLinearGrad: one row for all slots or one each, empty slots, experts that nobody chose, any stored weight.
import fc from "fast-check";
import { expertLinearGrad } from "../../ops/expert-linear-grad.js";
import {
  among,
  draw,
  extent,
  fewPositive,
  floats,
  rowIndices,
  slotRows,
  taste,
  type DrawnCall,
} from "../arbitraries.js";
import { matrix, storedAs } from "../packings.js";

export const expertLinearGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      ...{ R: slotRows, k: fewPositive, E: fewPositive, width: extent, out: extent },
      ...{ each: fc.boolean(), stored: storedAs, wants: among(3, 1, 2), taste },
    },
    ({ R, k, E, width, out, each, stored, wants, taste }, random) => ({
      inputs: [
        floats(random, each ? [R, k, width] : [R, width], taste),
        matrix(random, [E, out, width], stored, taste),
        rowIndices(random, [R, k], E),
        floats(random, [R, k, out], taste),
      ],
      run: ([x, weight, experts, dy]) => expertLinearGrad(x, weight, experts, dy, [(wants & 1) > 0, (wants & 2) > 0]),
    }),
  );
