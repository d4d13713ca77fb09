// The k experts of each row, best first, and their weights. Order: by score + bias, without a bias by the logits (the same order, and scores
// that saturate make no ties). Weights: scores of the chosen, over their sum if `normalize`, times `scale`; the bias never enters them.
import { rowsOf } from "../../../core/shape.js";
import type { Kernel, RouteScore } from "../../backend.js";
import { rankLargest } from "../ranking.js";
import { floats, ints } from "../read.js";
import { exponentials } from "./softmax.js";

export const route: Kernel<"route", void> = ([logits, bias], [weights, experts], { k, score, normalize, scale }) => {
  const { rows, width } = rowsOf(logits.shape);
  const from = floats(logits);
  const preference = bias === undefined ? undefined : floats(bias);
  const chosen = ints(experts);
  const out = floats(weights);
  const scores = new Float64Array(width);
  const keys = new Float32Array(width);
  for (let r = 0; r < rows; r++) {
    const at = r * width;
    scoreRow(from, at, width, score, scores);
    if (preference === undefined) {
      rankLargest(from, at, width, k, chosen, r * k);
    } else {
      for (let e = 0; e < width; e++) keys[e] = Math.fround(scores[e]) + preference[e];
      rankLargest(keys, 0, width, k, chosen, r * k);
    }
    let sum = 0;
    for (let j = r * k; j < (r + 1) * k; j++) sum += scores[chosen[j]];
    const factor = normalize ? scale / sum : scale;
    for (let j = r * k; j < (r + 1) * k; j++) out[j] = scores[chosen[j]] * factor;
  }
};

function scoreRow(x: Float32Array, at: number, width: number, score: RouteScore, scores: Float64Array): void {
  if (score === "uniform") {
    scores.fill(1);
  } else if (score === "sigmoid") {
    for (let e = 0; e < width; e++) scores[e] = 1 / (1 + Math.exp(-x[at + e]));
  } else {
    const sum = exponentials(x, at, width, scores);
    for (let e = 0; e < width; e++) scores[e] /= sum;
  }
}
