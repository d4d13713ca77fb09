// The limits that groups of experts set on how many tokens each of their experts takes.
import { add, less, maximum, sub } from "../ops/binary.js";
import { concat } from "../ops/concat.js";
import { fill } from "../ops/fill.js";
import { gatherRows } from "../ops/gather-rows.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { emptySlots, normalizeWeights, type Router, type Routing } from "../routing/router.js";
import type { ExpertGroup } from "./expert-group.js";

/** ceil(T k factor / E), at most T; undefined without a factor. */
export function capacityOf({ capacityFactor }: ExpertGroup, { experts, logits }: Routing): number | undefined {
  if (capacityFactor === undefined) return undefined;
  const [tokens, k] = experts.shape.slice(-2);
  const numExperts = logits.shape[logits.shape.length - 1];
  return Math.min(tokens, Math.ceil((tokens * k * capacityFactor) / numExperts));
}

/**
 * Empties the slots that find no room in a batch row, by position, and counts them. A router that normalises does so over what is kept.
 * @param groups in the order of the router's experts
 */
export function withinCapacity(groups: readonly ExpertGroup[], routing: Routing, router: Router): Routing {
  if (groups.every(({ capacityFactor }) => capacityFactor === undefined)) return routing;
  const { experts, logits, dropped } = routing;
  const { backend } = experts;
  const [batch, tokens, k] = experts.shape;
  const integers = { dtype: "i32" } as const;
  const limits = groups.map((group) =>
    fill(backend, [group.numExperts], capacityOf(group, routing) ?? tokens * k, integers),
  );
  const limit = concat(limits, 0); // i32 [E]
  const slots = reshape(experts, [batch, tokens * k]);
  const { counts, rank } = groupByExpert(slots, logits.shape[logits.shape.length - 1]);
  const keep = reshape(less(rank, gatherRows(limit, slots)), experts.shape);
  const over = reshape(sum(maximum(sub(counts, limit), fill(backend, [], 0, integers)), [0]), limit.shape);
  const kept = { ...emptySlots(routing, keep), dropped: dropped ? add(dropped, over) : over };
  return router.normTopkProb === true ? normalizeWeights(kept, router.routedScalingFactor) : kept;
}
