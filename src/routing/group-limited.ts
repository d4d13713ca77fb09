// Experts in groups, such as those of one device: a token chooses groups first, then experts within these.
import { add } from "../ops/binary.js";
import { fill, zeros } from "../ops/fill.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { scatterRows } from "../ops/scatter-rows.js";
import { select } from "../ops/select.js";
import { topK } from "../ops/top-k.js";
import type { Tensor } from "../tensor/tensor.js";

export interface GroupLimit {
  /** Into how many groups the experts are cut, in order (`n_group`). */
  readonly nGroup: number;
  /** How many of these a token may choose from (`topk_group`). */
  readonly topkGroup: number;
}

const LOWEST = -(2 - 2 ** -23) * 2 ** 127;

/**
 * Keeps the scores of the groups whose two best experts sum to most and gives all others the lowest number there is (DeepSeek-AI 2024,
 * "DeepSeek-V3 technical report", node-limited routing).
 * @param scores f32 [R, E] @returns f32 [R, E]
 */
export function limitToGroups(scores: Tensor, { nGroup, topkGroup }: GroupLimit): Tensor {
  const { backend } = scores;
  const [rows, numExperts] = scores.shape;
  const inGroup = numExperts / nGroup;
  const grouped = reshape(scores, [rows, nGroup, inGroup]);
  const strength = sum(topK(grouped, Math.min(2, inGroup)).values); // [R, nGroup, 1]
  const { indices } = topK(reshape(strength, [rows, nGroup]), topkGroup);
  const places = add(indices, reshape(fill(backend, [rows], 0, { step: nGroup, dtype: "i32" }), [rows, 1]));
  const open = zeros(backend, [rows * nGroup], "u32");
  scatterRows(fill(backend, places.shape, 1, { dtype: "u32" }), places, open, "set");
  return reshape(select(reshape(open, [rows, nGroup, 1]), grouped, fill(backend, [], LOWEST)), scores.shape);
}
