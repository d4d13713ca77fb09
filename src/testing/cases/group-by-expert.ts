// groupByExpert: empty slots, experts that nobody chose, indices that are no expert.
import type fc from "fast-check";
import { groupByExpert } from "../../ops/group-by-expert.js";
import { draw, extent, few, positive, rowIndices, type DrawnCall } from "../arbitraries.js";

export const groupByExpertCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ G: few, n: extent, E: positive }, ({ G, n, E }, random) => ({
    inputs: [rowIndices(random, [G, n], E)],
    run([experts]) {
      const { counts, rank } = groupByExpert(experts, E);
      return [counts, rank];
    },
  }));
