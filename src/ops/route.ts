// From the gate's logits to the chosen experts and their weights.
import type { RouteScore } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, div, mul, sub } from "./binary.js";
import { expectDType, expectInteger, expectRank, expectShape } from "./expect.js";
import { fill, zeros } from "./fill.js";
import { gatherRows } from "./gather-rows.js";
import { sum } from "./reduce.js";
import { reshape } from "./reshape.js";
import { scatterRows } from "./scatter-rows.js";
import { softmax } from "./softmax.js";
import { topK } from "./top-k.js";
import { sigmoid } from "./unary.js";

const scores: readonly RouteScore[] = ["softmax", "sigmoid", "uniform"];

const def: OpDef<"route"> = {
  name: "route",
  infer([logits, bias], { k, score }) {
    expectDType("route", "logits", logits);
    expectRank("route", "logits", logits, 2, "[R, E]");
    const [R, E] = logits.shape;
    if (bias) {
      expectDType("route", "bias", bias);
      expectShape("route", "bias", bias, [E], "one for each expert of logits", logits);
    }
    if (!scores.includes(score)) {
      throw new ConfigError(`route: score must be ${scores.join(", ")}, got ${JSON.stringify(score)}`);
    }
    expectInteger("route", "k", k, 1, E);
    return [{ shape: [R, k] }, { shape: [R, k], dtype: "i32" }];
  },
  composite([logits, bias], { k, score, normalize, scale }) {
    const all = scoresOf(logits, score);
    const { indices } = topK(bias ? add(all, bias) : logits, k);
    const chosen = pick(all, indices);
    return [mul(normalize ? div(chosen, sum(chosen)) : chosen, scale), indices];
  },
  vjp([logits], [, experts], [dWeights], { score, normalize, scale }, [wantsLogits]) {
    if (!dWeights || !wantsLogits) return [undefined, undefined];
    if (score === "uniform") return [zeros(logits.backend, logits.shape), undefined];
    const all = scoresOf(logits, score);
    const chosen = pick(all, experts); // [R, k]
    let dChosen = mul(dWeights, scale);
    if (normalize) {
      const total = sum(chosen);
      dChosen = div(sub(dChosen, sum(mul(dChosen, div(chosen, total)))), total);
    }
    const weighted = mul(dChosen, chosen);
    if (score === "sigmoid") return [spread(sub(weighted, mul(weighted, chosen)), experts, logits), undefined];
    return [sub(spread(weighted, experts, logits), mul(all, sum(weighted))), undefined];
  },
};

/** The scores of all experts, f32 [R, E]. */
function scoresOf(logits: Tensor, score: RouteScore): Tensor {
  if (score === "uniform") return fill(logits.backend, logits.shape, 1);
  return score === "softmax" ? softmax(logits) : sigmoid(logits);
}

/** y[r, j] = x[r, experts[r, j]]. */
function pick(x: Tensor, experts: Tensor): Tensor {
  return gatherRows(reshape(x, [x.size]), places(x, experts));
}

/** y[r, experts[r, j]] = x[r, j], 0 elsewhere, in the shape of `like`. */
function spread(x: Tensor, experts: Tensor, like: Tensor): Tensor {
  const flat = zeros(x.backend, [like.size]);
  scatterRows(x, places(like, experts), flat, "set");
  return reshape(flat, like.shape);
}

/** Where the elements that `experts` [R, k] names lie in x [R, E], row by row. */
function places(x: Tensor, experts: Tensor): Tensor {
  const [R, E] = x.shape;
  return add(experts, reshape(fill(x.backend, [R], 0, { step: E, dtype: "i32" }), [R, 1]));
}

export interface RouteOptions {
  /** How many experts a row gets, 1 to E. */
  readonly k: number;
  /** What weights are made of: softmax over all E logits, sigmoid of each, or 1. */
  readonly score: RouteScore;
  /** Whether the weights of a row are divided by their sum. */
  readonly normalize: boolean;
  /** Multiplies all weights; 1 unless given. */
  readonly scale?: number;
}

/**
 * The k experts of each row with the largest score + bias, in descending order, ties to the lower index; without a bias the logits decide,
 * which is the same order. A weight is the chosen expert's score, divided by the row's sum if `normalize`, times `scale`; the bias never
 * enters it and gets no gradient. The gradient of the weights flows through the chosen scores.
 * @param logits f32 [R, E] @param bias f32 [E] @returns weights f32 [R, k] and experts i32 [R, k]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function route(
  logits: Tensor,
  bias: Tensor | undefined,
  { k, score, normalize, scale = 1 }: RouteOptions,
): { readonly weights: Tensor; readonly experts: Tensor } {
  const [weights, experts] = dispatch(def, [logits, bias], { k, score, normalize, scale });
  return { weights, experts };
}
