// The k experts of each row, best first, and their weights: a workgroup per row, whose lanes count how many experts come before theirs.
import { DECLINED, type Kernels, type RouteScore } from "../../backend.js";
import type { Engine } from "../engine.js";
import { rankKey } from "../rank-key.js";
import { variants, type Shader } from "../shader.js";
import { reduction, sigmoid } from "../wgsl.js";

/** Experts whose keys and scores fit the memory of a workgroup. */
const MAX_EXPERTS = 1024;

/** `score(x)`, and before it what it needs to know of the row. */
const scores: Readonly<
  Record<RouteScore, { readonly functions: string; readonly row: string; readonly score: string }>
> = {
  softmax: {
    functions: "",
    row: `
  var most = -3.4028234663852886e38;
  for (var e = lane; e < params.experts; e += LANES) { most = max(most, logits_at(first + e)); }
  most = all_max(lane, most);
  var exponentials = 0.0;
  for (var e = lane; e < params.experts; e += LANES) { exponentials += exp(logits_at(first + e) - most); }
  exponentials = all_sum(lane, exponentials);`,
    score: "exp(logits_at(first + e) - most) / exponentials",
  },
  sigmoid: { functions: sigmoid, row: "", score: "sigmoid(logits_at(first + e))" },
  uniform: { functions: "", row: "", score: "1.0" },
};

interface RouteForm {
  readonly score: RouteScore;
  readonly biased: boolean;
  /** Experts that there is room for, a power of two. */
  readonly capacity: number;
  readonly subgroups: boolean;
}

const shaders = variants((form: string): Shader => {
  const { score: kind, biased, capacity, subgroups } = JSON.parse(form) as RouteForm;
  const lanes = Math.max(64, Math.min(256, capacity / 2));
  const { functions, row, score } = scores[kind];
  // Without a bias the logits decide: the same order, and scores that saturate make no ties.
  const preference = biased ? "value + bias_at(e)" : "logits_at(first + e)";
  return {
    name: `route-${kind}`,
    reads: { logits: "f32", ...(biased ? { bias: "f32" } : {}) },
    writes: { weights: "f32", chosen: "i32" },
    params: { experts: "u32", k: "u32", normalize: "u32", scale: "f32" },
    lanes,
    code: `
${reduction("all_sum", lanes, { subgroups })}
${kind === "softmax" ? reduction("all_max", lanes, { subgroups }) : ""}
${functions}
${rankKey}
var<workgroup> keys: array<u32, ${capacity}>;
var<workgroup> ranked: array<f32, ${capacity}>;
fn run(group: u32, lane: u32) {
  let first = group * params.experts;${row}
  for (var e = lane; e < params.experts; e += LANES) {
    let value = ${score};
    keys[e] = rank_key(bitcast<u32>(${preference}));
  }
  workgroupBarrier();
  for (var e = lane; e < params.experts; e += LANES) {
    let mine = keys[e];
    var rank = 0u;
    for (var i = 0u; i < e; i++) { rank += u32(keys[i] >= mine); }
    for (var i = e + 1u; i < params.experts; i++) { rank += u32(keys[i] > mine); }
    if (rank < params.k) {
      ranked[rank] = ${score};
      chosen_set(group * params.k + rank, i32(e));
    }
  }
  workgroupBarrier();
  var part = 0.0;
  for (var j = lane; j < params.k; j += LANES) { part += ranked[j]; }
  let sum = select(1.0, all_sum(lane, part), params.normalize == 1u);
  for (var j = lane; j < params.k; j += LANES) { weights_set(group * params.k + j, ranked[j] / sum * params.scale); }
}`,
  };
});

export const route =
  (engine: Engine): Kernels["route"] =>
  ([logits, bias], [weights, experts], { k, score, normalize, scale }) => {
    const [rows, numExperts] = logits.shape;
    if (numExperts > MAX_EXPERTS) return DECLINED;
    const { subgroups } = engine.abilities;
    const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(numExperts)));
    const form: RouteForm = { score, biased: bias !== undefined, capacity, subgroups };
    const views = [logits, ...(bias === undefined ? [] : [bias]), weights, experts];
    engine.dispatch(shaders(JSON.stringify(form)), views, [numExperts, k, Number(normalize), scale], rows);
    return undefined;
  };
