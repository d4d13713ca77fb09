// The routings of a forward pass as losses and statistics see them: which rows count, and how many slots each expert got.
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf, sizeOf } from "../core/shape.js";
import { add } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { fill } from "../ops/fill.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { select } from "../ops/select.js";
import { stopGradient } from "../ops/stop-gradient.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectRowMask, maskRows, type Routing } from "./router.js";

/** The routings of a forward pass, in any order; what `Qwen3.forward` collects may be passed as it is. */
export type Routings = Iterable<Routing> | ReadonlyMap<number, Routing>;

/** @throws ConfigError if there is none */
export function listOf(where: string, routings: Routings): readonly Routing[] {
  const list =
    routings instanceof Map
      ? [...(routings as ReadonlyMap<number, Routing>).values()]
      : [...(routings as Iterable<Routing>)];
  if (list.length > 0) return list;
  throw new ConfigError(
    `${where}: at least one routing must be given, got none; pass { routings: new Map() } to forward, and use a model with experts`,
  );
}

/** B, the batch rows of a routing. */
export const batchOf = ({ logits }: Routing): number => sizeOf(logits.shape.slice(0, -2));

/** How many slots of each expert are filled in each of `groups` equal parts of the batch: f32 [groups, E], without a gradient. */
export function filledSlots(routing: Routing, rowMask: Tensor | undefined, groups = 1): Tensor {
  const { logits, experts } = rowMask ? maskRows(routing, rowMask) : routing;
  const perGroup = groups === 0 ? 0 : experts.size / groups;
  const { counts } = groupByExpert(reshape(experts, [groups, perGroup]), logits.shape[logits.shape.length - 1]);
  return stopGradient(cast(counts, "f32"));
}

/** How many slots wanted each expert, those that a capacity dropped among them, over all layers: f32 [E]. */
export function demandIn(where: string, routings: Routings): Tensor {
  return listOf(where, routings)
    .map((routing) => {
      const filled = filledSlots(routing, undefined);
      const flat = reshape(filled, [filled.size]);
      return routing.dropped ? add(flat, cast(routing.dropped, "f32")) : flat;
    })
    .reduce((a, b) => {
      if (a.size === b.size) return add(a, b);
      throw new ShapeError(`${where}: all layers must have one number of experts, got ${a.size} and ${b.size}`);
    });
}

/** The rows of a layer, of which those behind the mask add nothing to sums, whatever they hold. */
export interface CountedRows {
  /** f32 [R, E]; 0 in rows that do not count. */
  readonly logits: Tensor;
  /** [R, n] with zeros in rows that do not count. */
  counted(x: Tensor): Tensor;
  /** f32 [groups, 1]: how many rows count in each of `groups` equal parts of the batch. */
  countIn(groups: number): Tensor;
}

/** @throws ShapeError if the mask does not fit the logits */
export function rowsThatCount(routing: Routing, rowMask: Tensor | undefined): CountedRows {
  const { rows, width } = rowsOf(routing.logits.shape);
  const logits = reshape(routing.logits, [rows, width]);
  const { backend } = logits;
  const perGroup = (groups: number): number => (groups === 0 ? 0 : rows / groups);
  if (!rowMask) {
    return { logits, counted: (x) => x, countIn: (groups) => fill(backend, [groups, 1], perGroup(groups)) };
  }
  expectRowMask(routing, rowMask);
  const mask = reshape(rowMask, [rows, 1]);
  // Chosen, not multiplied: padding may hold infinities, and 0 times infinity is NaN.
  const counted = (x: Tensor): Tensor => select(mask, x, fill(backend, [], 0));
  const countIn = (groups: number): Tensor =>
    sum(reshape(counted(fill(backend, [rows, 1], 1)), [groups, perGroup(groups)]));
  return { logits: counted(logits), counted, countIn };
}
