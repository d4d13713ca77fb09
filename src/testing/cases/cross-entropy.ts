// crossEntropy: targets that count, -100, and others that are no index; equal, far apart and very large logits.
import type fc from "fast-check";
import type { Random } from "../../core/random.js";
import { crossEntropy } from "../../ops/cross-entropy.js";
import { among, draw, extent, floats, level, positive, raised, taste, type DrawnCall } from "../arbitraries.js";
import type { PlainOperand } from "../operands.js";

/** Indices below V, and rows that do not count. */
export function targets(random: Random, R: number, V: number): PlainOperand {
  const next = (): number => (random.integer(5) === 0 ? [-100, -1, V][random.integer(3)] : random.integer(V));
  return { shape: [R], data: Int32Array.from({ length: R }, next) };
}

export const crossEntropyCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ R: extent, V: positive, scale: among(1, 8), level, taste }, ({ R, V, scale, level, taste }, random) => ({
    inputs: [raised(floats(random, [R, V], taste, scale), level), targets(random, R, V)],
    run: ([logits, targets]) => [crossEntropy(logits, targets)],
    params: [0],
    smooth: taste === "normal",
  }));
