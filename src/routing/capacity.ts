// A limit on how many tokens an expert takes, around any router. What does not fit is dropped, or goes to the token's next choice.
import { ConfigError } from "../core/errors.js";
import { sizeOf } from "../core/shape.js";
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
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectExpertsPerTok, expectOption } from "./expect-option.js";
import { emptySlots, normalizeWeights, type Router, type Routing } from "./router.js";

export interface CapacityOptions {
  /** An expert takes ceil(tokens x k x factor / E) of a group's slots. 0 empties all. */
  readonly capacityFactor: number;
  /** What a group is: a batch row, which then depends on no other row, or the whole batch. "row" if left out. */
  readonly per?: "row" | "batch";
  /**
   * k: how many of the router's slots a token keeps. With fewer than the router gives, these are candidates in descending order, and a token
   * whose expert is full goes to its next one. All of them if left out; what overflows is then dropped.
   */
  readonly numExpertsPerTok?: number;
}

export interface FollowOptions {
  /** Room beyond the measured load; 1.1 leaves a tenth. */
  readonly slack: number;
  readonly most: number;
}

/**
 * Priority is by position: of the slots that want an expert, those of earlier tokens get it (Lepikhin et al. 2020, "GShard"; Fedus et al. 2022).
 * Where tokens go to their next choice, all first choices come before all second ones, so a token may then depend on later ones. Tokens of
 * one call count, not those in a cache. A router that normalises does so over what is kept.
 */
export class CapacityRouter implements Router {
  readonly router: Router;
  readonly rowWise: boolean;
  readonly per: "row" | "batch";
  readonly numExpertsPerTok: number | undefined;
  #capacityFactor: number;

  /** @throws ConfigError if an option is out of range */
  constructor(router: Router, { capacityFactor, per = "row", numExpertsPerTok }: CapacityOptions) {
    expectOption("CapacityRouter", "capacityFactor", capacityFactor, "a number of at least 0", capacityFactor >= 0);
    if (per !== "row" && per !== "batch") {
      throw new ConfigError(`CapacityRouter: per must be row or batch, got ${String(per)}`);
    }
    if (numExpertsPerTok !== undefined) {
      expectExpertsPerTok("CapacityRouter", "numExpertsPerTok", numExpertsPerTok);
    }
    this.router = router;
    this.per = per;
    this.numExpertsPerTok = numExpertsPerTok;
    this.rowWise = router.rowWise && per === "row" && numExpertsPerTok === undefined;
    this.#capacityFactor = capacityFactor;
  }

  get normTopkProb(): boolean {
    return this.router.normTopkProb === true;
  }

  get capacityFactor(): number {
    return this.#capacityFactor;
  }

  route(logits: Tensor, rowMask?: Tensor): Routing {
    const routing = this.router.route(logits, rowMask);
    const { shape } = routing.experts;
    const E = logits.shape[logits.shape.length - 1];
    const slots = shape[shape.length - 1];
    const groups = this.per === "batch" ? 1 : sizeOf(shape.slice(0, -2));
    const tokens = groups === 0 ? 0 : sizeOf(shape.slice(0, -1)) / groups;
    const k = Math.min(slots, this.numExpertsPerTok ?? slots);
    const capacity = Math.ceil((tokens * k * this.#capacityFactor) / E);
    const group: Group = { experts: reshape(routing.experts, [groups, tokens, slots]), E, capacity };
    const { keep, dropped } = scope(() => (k === slots ? firstCome(group) : nextChoice(group, k)));
    const kept = { ...emptySlots(routing, reshape(keep, shape)), dropped };
    return this.normTopkProb ? normalizeWeights(kept) : kept;
  }

  /**
   * Sets the factor to what the busiest expert needed, times `slack`, at least 1.
   * @param maxOverMean the measured load, `RoutingStatistics.maxOverMean` of the router without a capacity
   * @returns the new factor
   */
  follow(maxOverMean: number, { slack, most }: FollowOptions): number {
    expectOption("CapacityRouter", "maxOverMean", maxOverMean, "a number of at least 0", maxOverMean >= 0);
    expectOption("CapacityRouter", "slack", slack, "a positive number", slack > 0);
    expectOption("CapacityRouter", "most", most, "at least 1", most >= 1);
    this.#capacityFactor = Math.min(most, Math.max(1, maxOverMean * slack));
    return this.#capacityFactor;
  }
}

interface Group {
  /** i32 [G, T, slots] */
  readonly experts: Tensor;
  readonly E: number;
  readonly capacity: number;
}

interface Kept {
  /** u32 [G, T, slots] */
  readonly keep: Tensor;
  /** i32 [E] */
  readonly dropped: Tensor;
}

function firstCome({ experts, E, capacity }: Group): Kept {
  const [groups, tokens, slots] = experts.shape;
  const { backend } = experts;
  const { counts, rank } = groupByExpert(reshape(experts, [groups, tokens * slots]), E);
  const limit = integer(backend, capacity);
  const dropped = reshape(sum(sub(counts, minimum(counts, limit)), [0]), [E]);
  return { keep: reshape(less(rank, limit), experts.shape), dropped };
}

/** Candidate after candidate: of the tokens that still want an expert, the first that fit get this one. */
function nextChoice({ experts, E, capacity }: Group, k: number): Kept {
  const [groups, tokens, slots] = experts.shape;
  const { backend } = experts;
  const limit = integer(backend, capacity);
  const none = integer(backend, -1);
  const firstOf = reshape(fill(backend, [groups], 0, { step: E, dtype: "i32" }), [groups, 1]);
  let used = zeros(backend, [groups * E], "i32");
  let taken = zeros(backend, [groups, tokens], "i32");
  let wished = zeros(backend, [groups, tokens], "i32");
  const rounds = Array.from({ length: slots }, (_, j) => {
    const candidate = reshape(slice(experts, [0, 0, j], [groups, tokens, 1]), [groups, tokens]);
    const there = less(none, candidate);
    const wants = and(there, less(taken, integer(backend, k)));
    const asked = select(wants, candidate, none);
    const { counts, rank } = groupByExpert(asked, E);
    const before = gatherRows(used, select(wants, add(asked, firstOf), none));
    const got = and(wants, less(add(rank, before), limit));
    used = minimum(add(used, reshape(counts, [groups * E])), limit);
    taken = add(taken, cast(got, "i32"));
    wished = minimum(add(wished, cast(there, "i32")), integer(backend, k));
    return { candidate, got, refused: less(got, wants) };
  });
  // A token that ends with fewer than it wished for lost its best refused ones.
  let missing = sub(wished, taken);
  let dropped = zeros(backend, [E], "i32");
  for (const { candidate, refused } of rounds) {
    const lost = and(refused, less(integer(backend, 0), missing));
    missing = sub(missing, cast(lost, "i32"));
    const { counts } = groupByExpert(reshape(select(lost, candidate, none), [1, groups * tokens]), E);
    dropped = add(dropped, reshape(counts, [E]));
  }
  return {
    keep: concat(
      rounds.map(({ got }) => reshape(got, [groups, tokens, 1])),
      2,
    ),
    dropped,
  };
}

const integer = (backend: Tensor["backend"], value: number): Tensor => fill(backend, [], value, { dtype: "i32" });
