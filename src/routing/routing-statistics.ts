// What a router does with its experts, in numbers for people and plots.
import { div, mul, sub } from "../ops/binary.js";
import { logSumExp } from "../ops/log-sum-exp.js";
import { sum } from "../ops/reduce.js";
import { softmax } from "../ops/softmax.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { balanceOf, rowsThatCount } from "./balance.js";
import type { Routing } from "./router.js";

export interface RoutingStatistics {
  /** `[E]`: share of all filled slots that each expert got; sums to 1. */
  readonly load: Float32Array;
  /** `[E]`: mean softmax probability of each expert over counted rows; sums to 1. */
  readonly importance: Float32Array;
  /** Largest load over the mean load: 1 at perfect balance, E / k at most for a top-k router. */
  readonly maxOverMean: number;
  /** Mean entropy of a row's softmax probabilities, in nats: log E when the router has no opinion. */
  readonly entropy: number;
  /** Experts that no row chose. */
  readonly idleExperts: number;
  /** Rows that count; 1 where none does. */
  readonly rows: number;
}

/**
 * Reads back the statistics of one layer's routing.
 * @param rowMask u32 [B, T]: 0 for padding, which then counts for nothing
 * @throws ShapeError if the mask does not fit
 */
export async function routingStatistics(routing: Routing, rowMask?: Tensor): Promise<RoutingStatistics> {
  const tensors = scope(() => {
    const { chosen, probability, rows } = balanceOf(routing, rowMask);
    const { logits, counted } = rowsThatCount(routing, rowMask);
    // -sum p log p = log Z - sum p z, with z the logits.
    const entropies = sub(logSumExp(logits), sum(mul(softmax(logits), logits)));
    return { chosen, importance: div(probability, rows), rows, entropy: div(sum(counted(entropies), [0, 1]), rows) };
  });
  try {
    const [chosen, importance, [rows], [entropy]] = await Promise.all([
      tensors.chosen.data(),
      tensors.importance.data(),
      tensors.rows.data(),
      tensors.entropy.data(),
    ]);
    const counts = [...chosen];
    const slots = counts.reduce((total, count) => total + count, 0);
    const load = Float32Array.from(counts, (count) => count / Math.max(slots, 1));
    return {
      load,
      importance: importance as Float32Array,
      maxOverMean: load.reduce((most, share) => Math.max(most, share), 0) * load.length,
      entropy,
      idleExperts: counts.filter((count) => count === 0).length,
      rows,
    };
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}
