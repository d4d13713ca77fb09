// What a router does with its experts, in numbers for people and plots.
import { div, maximum } from "../ops/binary.js";
import { sum } from "../ops/reduce.js";
import { softmax } from "../ops/softmax.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { entropyOf } from "./router-losses.js";
import type { Routing } from "./router.js";
import { filledSlots, rowsThatCount } from "./routings.js";

export interface RoutingStatistics {
  /** `[E]`: share of all filled slots that each expert got; sums to 1. */
  readonly load: Float32Array;
  /** `[E]`: mean softmax probability of each expert over counted rows; sums to 1. */
  readonly importance: Float32Array;
  /** Largest load over the mean load: 1 at perfect balance, E / k at most for a top-k router. */
  readonly maxOverMean: number;
  /** The same of what was wanted, slots that a capacity dropped among it: what a capacity factor has to follow. */
  readonly peakDemand: number;
  /** Mean share of the experts that a counted row visits: k / E for a top-k router. */
  readonly activated: number;
  /** Share of the wanted slots that a capacity dropped; 0 without one. */
  readonly droppedShare: number;
  /** Mean entropy of a row's softmax probabilities, in nats: log E when the router has no opinion. */
  readonly entropy: number;
  /** Experts that no row chose. */
  readonly idleExperts: number;
  /** Rows that count; 1 where none does. */
  readonly rows: number;
}

/**
 * Reads back the statistics of one layer's routing.
 * @param rowMask u32 [B, T]: 0 for padding, which then counts for nothing; the one that the router had, for `dropped` is as the router left it
 * @throws ShapeError if the mask does not fit
 */
export async function routingStatistics(routing: Routing, rowMask?: Tensor): Promise<RoutingStatistics> {
  const tensors = scope(() => {
    const { logits, counted, countIn } = rowsThatCount(routing, rowMask);
    const rows = maximum(countIn(1), 1);
    const importance = div(sum(counted(softmax(logits)), [0]), rows);
    const entropy = div(sum(counted(entropyOf(logits)), [0]), rows);
    return { filled: filledSlots(routing, rowMask), importance, rows, entropy };
  });
  try {
    const [filled, importance, [rows], [entropy], dropped] = await Promise.all([
      tensors.filled.data(),
      tensors.importance.data(),
      tensors.rows.data(),
      tensors.entropy.data(),
      routing.dropped?.data(),
    ]);
    const counts = [...filled];
    const wanted = counts.map((count, expert) => count + (dropped?.[expert] ?? 0));
    const [slots, wishes] = [totalOf(counts), totalOf(wanted)];
    return {
      load: Float32Array.from(counts, (count) => count / Math.max(slots, 1)),
      importance: importance as Float32Array,
      maxOverMean: maxOverMean(counts),
      peakDemand: maxOverMean(wanted),
      activated: slots / (rows * counts.length),
      droppedShare: (wishes - slots) / Math.max(wishes, 1),
      entropy,
      idleExperts: counts.filter((count) => count === 0).length,
      rows,
    };
  } finally {
    for (const tensor of Object.values(tensors)) tensor.dispose();
  }
}

const totalOf = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** 0 where nothing is counted. */
function maxOverMean(counts: readonly number[]): number {
  return (Math.max(...counts) * counts.length) / Math.max(totalOf(counts), 1);
}
