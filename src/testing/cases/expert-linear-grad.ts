// expertLinearGrad: what expertLinear is drawn from, and one of the two gradients left out.
import type fc from "fast-check";
import { expertLinearGrad } from "../../ops/expert-linear-grad.js";
import { among, draw, floats, type DrawnCall } from "../arbitraries.js";
import { slotOperands, slotProduct } from "./expert-linear.js";

export const expertLinearGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ ...slotProduct, wants: among(3, 1, 2) }, ({ wants, ...drawn }, random) => ({
    inputs: [...slotOperands(random, drawn), floats(random, [drawn.R, drawn.k, drawn.out], drawn.taste)],
    run: ([x, weight, experts, dy]) => expertLinearGrad(x, weight, experts, dy, [(wants & 1) > 0, (wants & 2) > 0]),
  }));
