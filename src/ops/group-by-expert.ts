// How many slots each expert got, and which of them a slot is.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { equal, mul } from "./binary.js";
import { cast } from "./cast.js";
import { expectDType, expectInteger, expectRank } from "./expect.js";
import { arange, fill } from "./fill.js";
import { max, sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { scan } from "./scan.js";
import { select } from "./select.js";

const def: OpDef<"groupByExpert"> = {
  name: "groupByExpert",
  infer([experts], { numExperts }) {
    expectDType("groupByExpert", "experts", experts, "i32");
    expectRank("groupByExpert", "experts", experts, 2, "[G, n]");
    expectInteger("groupByExpert", "numExperts", numExperts, 1);
    const [G] = experts.shape;
    return [
      { shape: [G, numExperts], dtype: "i32" },
      { shape: experts.shape, dtype: "i32" },
    ];
  },
  composite([experts], { numExperts }) {
    const [G, n] = experts.shape;
    const { backend } = experts;
    const named = equal(reshape(experts, [G, n, 1]), arange(backend, numExperts)); // [G, n, E]
    const ones = cast(named, "i32");
    const before = sum(mul(ones, scan(ones, 1, { exclusive: true })));
    const rank = select(max(named), before, fill(backend, [], -1, { dtype: "i32" }));
    return [reshape(sum(ones, [1]), [G, numExperts]), reshape(rank, [G, n])];
  },
};

/**
 * Counts the slots of each expert within each group, and ranks each slot among those of its expert in its group, in order. An empty slot
 * (-1, or any number that is no expert) is not counted and has rank -1.
 * @param experts i32 [G, n] @returns counts i32 [G, E] and rank i32 [G, n] @throws ShapeError, DTypeError, ConfigError
 */
export function groupByExpert(experts: Tensor, numExperts: number): { readonly counts: Tensor; readonly rank: Tensor } {
  const [counts, rank] = dispatch(def, [experts], { numExperts });
  return { counts, rank };
}
