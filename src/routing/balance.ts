// The loss that keeps a router's experts in use.
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf, sameShape } from "../core/shape.js";
import { add, div, maximum, minimum, mul } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { softmax } from "../ops/softmax.js";
import { sigmoid } from "../ops/unary.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Routing } from "./router.js";
import { batchOf, filledSlots, listOf, rowsThatCount, type Routings } from "./routings.js";

export interface BalanceOptions {
  /** u32 [B, T]: 0 for padding, which then counts for nothing. The same mask serves every layer. */
  readonly rowMask?: Tensor;
  /**
   * "pooled" counts all layers together before the product, as transformers does; "perLayer" is the mean of the layers' own losses;
   * "perSequence" the mean over layers and over the batch rows in which any row counts, each balanced by itself (DeepSeek-V3).
   */
  readonly reduction?: "pooled" | "perLayer" | "perSequence";
  /** What P is made of: softmax probabilities, or sigmoids divided by their sum (DeepSeek-V3). "softmax" if left out. */
  readonly score?: "softmax" | "sigmoid";
}

/**
 * E sum_i f_i P_i, where f_i is the share of counted rows that chose expert i (so that they sum to k) and P_i the mean of their softmax
 * probabilities. k at perfect balance, E when all rows visit the same experts with certainty. The gradient flows through P alone. (Fedus et
 * al. 2022, "Switch Transformers"; transformers' load_balancing_loss_func.) 0 where no row counts. Choices that a capacity dropped count too,
 * as in Switch, but not per sequence.
 * @returns f32 []
 * @throws ConfigError if there is no routing (a dense model), ShapeError if the mask does not fit
 */
export function loadBalancingLoss(
  routings: Routings,
  { rowMask, reduction = "pooled", score = "softmax" }: BalanceOptions = {},
): Tensor {
  if (!["pooled", "perLayer", "perSequence"].includes(reduction)) {
    throw new ConfigError(
      `loadBalancingLoss: reduction must be pooled, perLayer or perSequence, got ${String(reduction)}`,
    );
  }
  if (score !== "softmax" && score !== "sigmoid") {
    throw new ConfigError(`loadBalancingLoss: score must be softmax or sigmoid, got ${String(score)}`);
  }
  return scope(() => {
    const layers = listOf("loadBalancingLoss", routings).map((routing) =>
      balanceOf(routing, rowMask, score, reduction === "perSequence" ? batchOf(routing) : undefined),
    );
    if (reduction === "pooled") return product(layers.reduce((a, b) => sumOf(a, b)));
    return div(
      layers.map(product).reduce((a, b) => add(a, b)),
      layers.length,
    );
  });
}

/** Sums over the counted rows of a layer, apart for each of G groups. */
interface Balance {
  /** f32 [G, E]: how many slots chose each expert. */
  readonly chosen: Tensor;
  /** f32 [G, E]: the sum of probabilities. */
  readonly probability: Tensor;
  /** f32 [G, 1]: how many rows count. */
  readonly rows: Tensor;
}

function balanceOf(
  routing: Routing,
  rowMask: Tensor | undefined,
  score: "softmax" | "sigmoid",
  sequences: number | undefined,
): Balance {
  const groups = sequences ?? 1;
  const { logits, counted, countIn } = rowsThatCount(routing, rowMask);
  const { rows, width } = rowsOf(logits.shape);
  const probabilities = counted(score === "softmax" ? softmax(logits) : shareOfSigmoids(logits));
  const grouped = reshape(probabilities, [groups, groups === 0 ? 0 : rows / groups, width]);
  const filled = filledSlots(routing, rowMask, groups);
  return {
    // What a capacity dropped was chosen nevertheless; of which group is not known.
    chosen: routing.dropped && sequences === undefined ? add(filled, cast(routing.dropped, "f32")) : filled,
    probability: reshape(sum(grouped, [1]), [groups, width]),
    rows: countIn(groups),
  };
}

function shareOfSigmoids(logits: Tensor): Tensor {
  const scores = sigmoid(logits);
  return div(scores, maximum(sum(scores), 1e-20));
}

function sumOf(a: Balance, b: Balance): Balance {
  if (!sameShape(a.chosen.shape, b.chosen.shape)) {
    const [E, other] = [a.chosen.shape[1], b.chosen.shape[1]];
    throw new ShapeError(
      `loadBalancingLoss: pooled layers must have one number of experts, got ${E} and ${other}; use reduction "perLayer"`,
    );
  }
  return {
    chosen: add(a.chosen, b.chosen),
    probability: add(a.probability, b.probability),
    rows: add(a.rows, b.rows),
  };
}

/** E sum f P of each group, and of these the mean over the groups in which a row counts. */
function product({ chosen, probability, rows }: Balance): Tensor {
  const atLeastOne = maximum(rows, 1);
  const perGroup = sum(mul(div(chosen, atLeastOne), div(probability, atLeastOne)));
  const groups = maximum(sum(minimum(rows, 1), [0]), 1);
  return reshape(mul(div(sum(perGroup, [0]), groups), chosen.shape[1]), []);
}
