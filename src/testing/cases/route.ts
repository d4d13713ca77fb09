// route: all scores, with and without a bias, normalised or not, k up to E, ties. Where a tie lies within the bounds of the scores, the
// experts are judged as a set, and the weights by the experts that the backend chose.
import fc from "fast-check";
import type { Attrs } from "../../tensor/op.js";
import { add, div, mul } from "../../ops/binary.js";
import { arange, fill } from "../../ops/fill.js";
import { gatherRows } from "../../ops/gather-rows.js";
import { sum } from "../../ops/reduce.js";
import { reshape } from "../../ops/reshape.js";
import { route } from "../../ops/route.js";
import { softmax } from "../../ops/softmax.js";
import { topK } from "../../ops/top-k.js";
import { sigmoid } from "../../ops/unary.js";
import type { Tensor } from "../../tensor/tensor.js";
import { among, draw, few, floats, positive, taste, type DrawnCall } from "../arbitraries.js";
import type { Handle } from "../operands.js";
import { distinctRows } from "./top-k.js";

const score = fc.constantFrom("softmax" as const, "sigmoid" as const, "uniform" as const);

export const routeCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      ...{ R: few, E: positive, k: positive, bias: fc.boolean(), score },
      ...{ normalize: fc.boolean(), scale: among(1, 2.5), taste },
    },
    ({ R, E, k: wanted, bias, score, normalize, scale, taste }, random) => {
      const attrs = { k: Math.min(wanted, E), score, normalize, scale };
      return {
        inputs: [floats(random, [R, E], taste), bias ? floats(random, [E], taste) : undefined],
        run([logits, bias]) {
          const { weights, experts } = route(logits, bias, attrs);
          return [weights, experts];
        },
        forced: (inputs, _, got) => forced(inputs, got[1], attrs),
        verify: ([, experts]) => distinctRows(experts, attrs.k, E),
        params: score === "uniform" ? [] : [0],
        smooth: taste === "grid",
      };
    },
  );

/** The weights of the experts that were chosen, and the experts where the oracle is sure of them. */
function forced([logits, bias]: readonly Handle[], chosen: Tensor, attrs: Attrs<"route">): readonly Tensor[] {
  const { backend } = logits;
  const [R, E] = logits.shape;
  const scores = { softmax, sigmoid, uniform: (x: Tensor): Tensor => fill(backend, x.shape, 1) }[attrs.score](logits);
  const starts = mul(reshape(arange(backend, R), [R, 1]), E);
  const picked = gatherRows(reshape(scores, [R * E]), add(chosen, starts));
  const weights = mul(attrs.normalize ? div(picked, sum(picked)) : picked, attrs.scale);
  return [weights, topK(bias ? add(scores, bias) : logits, attrs.k).indices];
}
