// Who fits: which slots their experts have room for, and what becomes of the others.
import { add, and, less, minimum, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { concat } from "../ops/concat.js";
import { fill, zeros } from "../ops/fill.js";
import { gatherRows } from "../ops/gather-rows.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { select } from "../ops/select.js";
import { slice } from "../ops/slice.js";
import type { Tensor } from "../tensor/tensor.js";

export interface Crowd {
  /** i32 [G, T, slots]: groups of tokens that compete, and the experts that they want. */
  readonly experts: Tensor;
  readonly numExperts: number;
  /** How many tokens of a group an expert takes. */
  readonly capacity: number;
}

export interface Seated {
  /** u32 [G, T, slots] */
  readonly keep: Tensor;
  /** i32 [E]: slots that found no room. */
  readonly dropped: Tensor;
}

/** The first that want an expert get it; the others lose the slot. */
export function firstCome({ experts, numExperts, capacity }: Crowd): Seated {
  const [groups, tokens, slots] = experts.shape;
  const { counts, rank } = groupByExpert(reshape(experts, [groups, tokens * slots]), numExperts);
  const limit = integer(experts, capacity);
  const dropped = reshape(sum(sub(counts, minimum(counts, limit)), [0]), [numExperts]);
  return { keep: reshape(less(rank, limit), experts.shape), dropped };
}

/** Candidate after candidate: of the tokens that have fewer than k experts yet, the first that fit get this one. */
export function nextChoice({ experts, numExperts, capacity }: Crowd, k: number): Seated {
  const [groups, tokens, slots] = experts.shape;
  const { backend } = experts;
  const [limit, none] = [integer(experts, capacity), integer(experts, -1)];
  const firstOf = reshape(fill(backend, [groups], 0, { step: numExperts, dtype: "i32" }), [groups, 1]);
  let used = zeros(backend, [groups * numExperts], "i32");
  let taken = zeros(backend, [groups, tokens], "i32");
  let wished = zeros(backend, [groups, tokens], "i32");
  const rounds = Array.from({ length: slots }, (_, j) => {
    const candidate = reshape(slice(experts, [0, 0, j], [groups, tokens, 1]), [groups, tokens]);
    const there = less(none, candidate);
    const wants = and(there, less(taken, integer(experts, k)));
    const asked = select(wants, candidate, none);
    const { counts, rank } = groupByExpert(asked, numExperts);
    const before = gatherRows(used, select(wants, add(asked, firstOf), none));
    const got = and(wants, less(add(rank, before), limit));
    used = minimum(add(used, reshape(counts, [groups * numExperts])), limit);
    taken = add(taken, cast(got, "i32"));
    wished = minimum(add(wished, cast(there, "i32")), integer(experts, k));
    return { candidate, got, refused: less(got, wants) };
  });
  // A token that ends with fewer than it wished for lost its best refused ones.
  let missing = sub(wished, taken);
  const lost = rounds.map(({ candidate, refused }) => {
    const loses = and(refused, less(integer(experts, 0), missing));
    missing = sub(missing, cast(loses, "i32"));
    return select(loses, candidate, none);
  });
  const { counts } = groupByExpert(reshape(concat(lost, 1), [1, groups * tokens * slots]), numExperts);
  const kept = rounds.map(({ got }) => reshape(got, [groups, tokens, 1]));
  return { keep: concat(kept, 2), dropped: reshape(counts, [numExperts]) };
}

const integer = ({ backend }: Tensor, value: number): Tensor => fill(backend, [], value, { dtype: "i32" });
