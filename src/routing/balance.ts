// Losses that keep a router's experts in use and its logits small.
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf, sameShape, showShape } from "../core/shape.js";
import { add, div, mul } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { fill } from "../ops/fill.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { logSumExp } from "../ops/log-sum-exp.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { softmax } from "../ops/softmax.js";
import { stopGradient } from "../ops/stop-gradient.js";
import type { Tensor } from "../tensor/tensor.js";
import { maskRows, type Routing } from "./router.js";

/** The routings of a forward pass, in any order; what `Qwen3.forward` collects may be passed as it is. */
export type Routings = Iterable<Routing> | ReadonlyMap<number, Routing>;

export interface BalanceOptions {
  /** u32 [B, T]: 0 for padding, which then counts for nothing. The same mask serves every layer. */
  readonly rowMask?: Tensor;
  /** "pooled" counts all layers together before the product, as transformers does; "perLayer" is the mean of the layers' own losses. */
  readonly reduction?: "pooled" | "perLayer";
}

/**
 * E sum_i f_i P_i, where f_i is the share of counted rows that chose expert i (so that they sum to k) and P_i the mean of their softmax
 * probabilities. k at perfect balance, E when all rows visit the same experts with certainty. The gradient flows through P alone. (Fedus et
 * al. 2022, "Switch Transformers"; transformers' load_balancing_loss_func.)
 * @returns f32 []
 * @throws ConfigError if there is no routing (a dense model), ShapeError if the mask does not fit
 */
export function loadBalancingLoss(routings: Routings, { rowMask, reduction = "pooled" }: BalanceOptions = {}): Tensor {
  const layers = listOf("loadBalancingLoss", routings).map((routing) => balanceOf(routing, rowMask));
  if (reduction === "pooled") return product(layers.reduce((a, b) => sumOf(a, b)));
  return div(
    layers.map(product).reduce((a, b) => add(a, b)),
    layers.length,
  );
}

/**
 * The mean over counted rows of log(sum(exp(logits)))^2, over all layers: keeps router logits small (Zoph et al. 2022, "ST-MoE").
 * @returns f32 []
 * @throws as {@link loadBalancingLoss}
 */
export function routerZLoss(routings: Routings, { rowMask }: Pick<BalanceOptions, "rowMask"> = {}): Tensor {
  const layers = listOf("routerZLoss", routings).map((routing) => {
    const z = logSumExp(routing.logits); // [B, T, 1]
    const counted = countedRows(routing, rowMask);
    return { total: sum(mul(mul(z, z), reshape(counted, z.shape)), [0, 1, 2]), rows: sum(counted, [0, 1]) };
  });
  const { total, rows } = layers.reduce((a, b) => ({ total: add(a.total, b.total), rows: add(a.rows, b.rows) }));
  return reshape(div(total, reshape(rows, [1, 1, 1])), []);
}

/** Sums over the counted rows of a layer. */
interface Balance {
  /** f32 [E]: how many slots chose each expert. */
  readonly chosen: Tensor;
  /** f32 [E]: the sum of softmax probabilities. */
  readonly probability: Tensor;
  /** f32 [1]: how many rows count. */
  readonly rows: Tensor;
}

/** @throws ShapeError if the mask does not fit the logits */
export function balanceOf(routing: Routing, rowMask: Tensor | undefined): Balance {
  const { logits } = routing;
  const { rows, width: numExperts } = rowsOf(logits.shape);
  const { experts } = rowMask ? maskRows(routing, rowMask) : routing;
  const counts = groupByExpert(reshape(experts, [1, experts.size]), numExperts).counts;
  const counted = reshape(countedRows(routing, rowMask), [rows, 1]);
  const probability = sum(mul(reshape(softmax(logits), [rows, numExperts]), counted), [0]);
  return {
    chosen: stopGradient(cast(reshape(counts, [numExperts]), "f32")),
    probability: reshape(probability, [numExperts]),
    rows: reshape(sum(counted, [0, 1]), [1]),
  };
}

function sumOf(a: Balance, b: Balance): Balance {
  if (!sameShape(a.chosen.shape, b.chosen.shape)) {
    throw new ShapeError(
      `loadBalancingLoss: pooled layers must have one number of experts, got ${a.chosen.size} and ${b.chosen.size}; use reduction "perLayer"`,
    );
  }
  return {
    chosen: add(a.chosen, b.chosen),
    probability: add(a.probability, b.probability),
    rows: add(a.rows, b.rows),
  };
}

function product({ chosen, probability, rows }: Balance): Tensor {
  const numExperts = chosen.size;
  return reshape(mul(sum(mul(div(chosen, rows), div(probability, rows)), [0]), numExperts), []);
}

/** f32 [B, T]: 1 for rows that count, 0 for padding. */
function countedRows({ logits }: Routing, rowMask: Tensor | undefined): Tensor {
  const shape = logits.shape.slice(0, -1);
  if (!rowMask) return fill(logits.backend, shape, 1);
  if (!sameShape(rowMask.shape, shape)) {
    throw new ShapeError(
      `rowMask: must have shape ${showShape(shape)}, one number per row of the logits, got ${showShape(rowMask.shape)}`,
    );
  }
  return cast(rowMask, "f32");
}

function listOf(where: string, routings: Routings): readonly Routing[] {
  const list =
    routings instanceof Map
      ? [...(routings as ReadonlyMap<number, Routing>).values()]
      : [...(routings as Iterable<Routing>)];
  if (list.length > 0) return list;
  throw new ConfigError(
    `${where}: at least one routing must be given, got none; pass { routings: new Map() } to forward, and use a model with experts`,
  );
}
