// Losses on a router beside the balance of its choices: the size of its logits, how even its weights and how sure its rows are.
import { rowsOf } from "../core/shape.js";
import { add, div, equal, maximum, mul, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { arange } from "../ops/fill.js";
import { logSumExp } from "../ops/log-sum-exp.js";
import { matmul } from "../ops/matmul.js";
import { mean } from "../ops/mean.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { softmax } from "../ops/softmax.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { maskRows, type Routing } from "./router.js";
import { listOf, rowsThatCount, type Routings } from "./routings.js";

export interface RouterLossOptions {
  /** u32 [B, T]: 0 for padding, which then counts for nothing. The same mask serves every layer. */
  readonly rowMask?: Tensor;
}

/**
 * The mean over counted rows of log(sum(exp(logits)))^2, over all layers: keeps router logits small (Zoph et al. 2022, "ST-MoE"). 0 where no
 * row counts.
 * @returns f32 []
 * @throws ConfigError if there is no routing (a dense model), ShapeError if the mask does not fit
 */
export function routerZLoss(routings: Routings, { rowMask }: RouterLossOptions = {}): Tensor {
  return meanOverRows("routerZLoss", routings, rowMask, (logits) => {
    const z = logSumExp(logits);
    return mul(z, z);
  });
}

/**
 * The mean over counted rows, over all layers, of the entropy of their softmax probabilities in nats: 0 when sure, log E when all experts are
 * alike. With a positive weight it makes the router surer, with a negative one it keeps it exploring.
 * @returns f32 []
 * @throws as {@link routerZLoss}
 */
export function routerEntropyLoss(routings: Routings, { rowMask }: RouterLossOptions = {}): Tensor {
  return meanOverRows("routerEntropyLoss", routings, rowMask, entropyOf);
}

/**
 * The squared coefficient of variation (variance over squared mean) of the experts' importance, which is the sum of the weights that the
 * counted rows give them; the mean over layers (Shazeer et al. 2017). 0 when all experts weigh the same, E - 1 when one has everything, 0
 * where no weight is given. The gradient flows through the weights. It makes R k E numbers, so it is not meant for k = E and many experts.
 * @returns f32 []
 * @throws as {@link routerZLoss}
 */
export function importanceLoss(routings: Routings, { rowMask }: RouterLossOptions = {}): Tensor {
  return scope(() => {
    const layers = listOf("importanceLoss", routings).map((routing) =>
      squaredVariation(importanceOf(rowMask ? maskRows(routing, rowMask) : routing)),
    );
    return div(
      layers.reduce((a, b) => add(a, b)),
      layers.length,
    );
  });
}

/** Of softmax(logits), in nats: f32 [R, 1]. */
export function entropyOf(logits: Tensor): Tensor {
  // -sum p log p = log Z - sum p z, with z the logits.
  return sub(logSumExp(logits), sum(mul(softmax(logits), logits)));
}

/** @param each f32 [R, E] to f32 [R, 1] */
function meanOverRows(
  where: string,
  routings: Routings,
  rowMask: Tensor | undefined,
  each: (logits: Tensor) => Tensor,
): Tensor {
  return scope(() => {
    const layers = listOf(where, routings).map((routing) => {
      const { logits, counted, countIn } = rowsThatCount(routing, rowMask);
      return { total: sum(counted(each(logits)), [0]), rows: countIn(1) }; // [1, 1] both
    });
    const { total, rows } = layers.reduce((a, b) => ({ total: add(a.total, b.total), rows: add(a.rows, b.rows) }));
    return reshape(div(total, maximum(rows, 1)), []);
  });
}

/** f32 [1, E] */
function importanceOf({ logits, weights, experts }: Routing): Tensor {
  const { width: numExperts } = rowsOf(logits.shape);
  const slots = experts.size;
  const named = cast(equal(reshape(experts, [slots, 1]), arange(logits.backend, numExperts)), "f32");
  return matmul(reshape(weights, [1, slots]), named);
}

/** @param x f32 [1, E] @returns f32 [] */
function squaredVariation(x: Tensor): Tensor {
  const average = mean(x);
  const deviation = sub(x, average);
  return reshape(div(mean(mul(deviation, deviation)), maximum(mul(average, average), SMALLEST_NORMAL)), []);
}
const SMALLEST_NORMAL = 2 ** -126;
