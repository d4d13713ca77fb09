// Losses that keep a router's experts in use and its logits small.
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf, sameShape } from "../core/shape.js";
import { add, div, maximum, mul } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { fill } from "../ops/fill.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { logSumExp } from "../ops/log-sum-exp.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { softmax } from "../ops/softmax.js";
import { select } from "../ops/select.js";
import { stopGradient } from "../ops/stop-gradient.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectRowMask, maskRows, type Routing } from "./router.js";

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
 * al. 2022, "Switch Transformers"; transformers' load_balancing_loss_func.) 0 where no row counts.
 * @returns f32 []
 * @throws ConfigError if there is no routing (a dense model), ShapeError if the mask does not fit
 */
export function loadBalancingLoss(routings: Routings, { rowMask, reduction = "pooled" }: BalanceOptions = {}): Tensor {
  return scope(() => {
    const layers = listOf("loadBalancingLoss", routings).map((routing) => balanceOf(routing, rowMask));
    if (reduction === "pooled") return product(layers.reduce((a, b) => sumOf(a, b)));
    return div(
      layers.map(product).reduce((a, b) => add(a, b)),
      layers.length,
    );
  });
}

/**
 * The mean over counted rows of log(sum(exp(logits)))^2, over all layers: keeps router logits small (Zoph et al. 2022, "ST-MoE").
 * @returns f32 []
 * @throws as {@link loadBalancingLoss}
 */
export function routerZLoss(routings: Routings, { rowMask }: Pick<BalanceOptions, "rowMask"> = {}): Tensor {
  return scope(() => {
    const layers = listOf("routerZLoss", routings).map((routing) => {
      const { logits, rows, counted } = rowsThatCount(routing, rowMask);
      const z = logSumExp(logits); // [R, 1]
      return { total: sum(counted(mul(z, z)), [0, 1]), rows };
    });
    const { total, rows } = layers.reduce((a, b) => ({ total: add(a.total, b.total), rows: add(a.rows, b.rows) }));
    return reshape(div(total, rows), []);
  });
}

/** How many slots chose each expert, over all layers: f32 [E]. @throws ConfigError if there is no routing, ShapeError if E differs */
export function chosenIn(where: string, routings: Routings): Tensor {
  return listOf(where, routings)
    .map((routing) => balanceOf(routing, undefined))
    .reduce((a, b) => sumOf(a, b)).chosen;
}

/** Sums over the counted rows of a layer. */
interface Balance {
  /** f32 [E]: how many slots chose each expert. */
  readonly chosen: Tensor;
  /** f32 [E]: the sum of softmax probabilities. */
  readonly probability: Tensor;
  /** f32 [1]: how many rows count, at least 1. */
  readonly rows: Tensor;
}

/** @throws ShapeError if the mask does not fit the logits */
export function balanceOf(routing: Routing, rowMask: Tensor | undefined): Balance {
  const { experts } = rowMask ? maskRows(routing, rowMask) : routing;
  const { logits, rows, counted } = rowsThatCount(routing, rowMask);
  const numExperts = logits.shape[1];
  const { counts } = groupByExpert(reshape(experts, [1, experts.size]), numExperts);
  return {
    chosen: stopGradient(cast(reshape(counts, [numExperts]), "f32")),
    probability: reshape(sum(counted(softmax(logits)), [0]), [numExperts]),
    rows: reshape(rows, [1]),
  };
}

/** The rows of a layer, of which those behind the mask add nothing to sums, whatever they hold. */
export interface CountedRows {
  /** f32 [R, E]; 0 in rows that do not count. */
  readonly logits: Tensor;
  /** f32 [1, 1]: how many rows count, at least 1, so that means over no row are 0. */
  readonly rows: Tensor;
  /** [R, n] with zeros in rows that do not count. */
  counted(x: Tensor): Tensor;
}

/** @throws ShapeError if the mask does not fit the logits */
export function rowsThatCount(routing: Routing, rowMask: Tensor | undefined): CountedRows {
  const { rows, width } = rowsOf(routing.logits.shape);
  const logits = reshape(routing.logits, [rows, width]);
  const { backend } = logits;
  if (!rowMask) return { logits, rows: fill(backend, [1, 1], Math.max(rows, 1)), counted: (x) => x };
  expectRowMask(routing, rowMask);
  const mask = reshape(rowMask, [rows, 1]);
  // Chosen, not multiplied: padding may hold infinities, and 0 times infinity is NaN.
  const counted = (x: Tensor): Tensor => select(mask, x, fill(backend, [], 0));
  const count = sum(counted(fill(backend, [rows, 1], 1)), [0, 1]);
  return { logits: counted(logits), rows: maximum(count, 1), counted };
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
