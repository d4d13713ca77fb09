// crossEntropyGrad: rows that do not count give exactly 0.
import type fc from "fast-check";
import { crossEntropyGrad } from "../../ops/cross-entropy-grad.js";
import { among, draw, extent, floats, level, positive, raised, taste, type DrawnCall } from "../arbitraries.js";
import { targets } from "./cross-entropy.js";

export const crossEntropyGradCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ R: extent, V: positive, scale: among(1, 8), level, taste }, ({ R, V, scale, level, taste }, random) => ({
    inputs: [raised(floats(random, [R, V], taste, scale), level), targets(random, R, V), floats(random, [R], taste)],
    run: ([logits, targets, dLoss]) => [crossEntropyGrad(logits, targets, dLoss)],
  }));
