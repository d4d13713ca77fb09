// What a mixture of unlike experts is made of: groups of one kind each, side by side under one router.
import { less } from "../ops/binary.js";
import { fill } from "../ops/fill.js";
import { sum } from "../ops/reduce.js";
import { select } from "../ops/select.js";
import type { Tensor } from "../tensor/tensor.js";

/** How a group is called. */
export interface GroupCall {
  /** B: the rows are B batch rows of R / B tokens each. */
  readonly batch: number;
  /** Of each batch row no expert of the group has more slots than this; undefined if `capacityFactor` is. */
  readonly capacity: number | undefined;
}

/** Experts of one kind. {@link Experts} is such a group; so is any object with these fields. */
export interface ExpertGroup {
  readonly numExperts: number;
  /**
   * Each expert takes at most ceil(T k capacityFactor / E) of a batch row's T tokens, earlier ones first; the mixture empties the slots of the
   * others and reports them as dropped. No limit if left out.
   */
  readonly capacityFactor?: number;
  /**
   * y[r] = sum over the slots j of weights[r, j] expert(x[r]), e = experts[r, j] being counted from 0 within the group. A slot of -1 is empty
   * or another group's, and adds nothing, whatever its weight. A group without this function gives 0.
   * @param x f32 [R, D] @param experts i32 [R, k] @param weights f32 [R, k] @returns f32 [R, D]
   */
  forward?(x: Tensor, experts: Tensor, weights: Tensor, call: GroupCall): Tensor;
}

/** The sum of each row's weights for this group: f32 [R, 1]. */
export function shareOf(experts: Tensor, weights: Tensor): Tensor {
  return sum(select(isFilled(experts), weights, fill(weights.backend, [], 0)));
}

/** u32, 1 where a slot names an expert. */
export function isFilled(experts: Tensor): Tensor {
  return less(fill(experts.backend, [], -1, { dtype: "i32" }), experts);
}
