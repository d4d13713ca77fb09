// Splits qkv into heads, normalises those of q and k where a weight is given, and turns them: a workgroup per head.
import { sizeOf } from "../../../core/shape.js";
import { DECLINED, type Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { rotation, rotationNumbers, rotationParams } from "../rotation.js";
import { variants, type Shader } from "../shader.js";
import { reduction } from "../wgsl.js";

/** A head has 64 pairs or so. */
const LANES = 64;

/** Turned heads of q or k: `number` counts them over all tokens, `weight` is the window of a norm's weight, if there is one. */
const turnedHead = (out: "q" | "k", weight: string | undefined): string => {
  const scaled = (at: string): string => `number_at(first + ${at})${weight ? ` * scale * ${weight}_at(${at})` : ""}`;
  return `
fn turn_${out}(token: u32, first: u32, number: u32, lane: u32) {
  ${weight ? "let scale = inverse_rms(first, lane);" : ""}
  for (var share = lane; share < shares(); share += LANES) {
    if (share >= params.pairs) {
      let at = still_at(share);
      ${out}_set(number * params.size + at, ${weight ? `bitcast<u32>(${scaled("at")})` : "qkv_at(first + at)"});
      continue;
    }
    let at = pair_at(share);
    let other = at + params.gap;
    let result = bitcast<vec2u>(turned(vec2f(${scaled("at")}, ${scaled("other")}), angle(token, share)));
    ${out}_set(number * params.size + at, result.x);
    ${out}_set(number * params.size + other, result.y);
  }
}`;
};

const shaders = variants((variant: string): Shader => {
  const [qNorm, kNorm, subgroups] = ["q", "k", "subgroups"].map((word) => variant.split(" ").includes(word));
  return {
    name: "qk-norm-rope",
    reads: {
      qkv: "u32",
      ...(qNorm && { q_weight: "f32" }),
      ...(kNorm && { k_weight: "f32" }),
      table: "f32",
      rows: "i32",
    },
    writes: { q: "u32", k: "u32", v: "u32" },
    params: { ...rotationParams, heads: "u32", kv_heads: "u32", eps: "f32" },
    lanes: LANES,
    code: `
${reduction("all_sum", LANES, { subgroups })}
${rotation}
fn number_at(i: u32) -> f32 { return bitcast<f32>(qkv_at(i)); }
fn inverse_rms(first: u32, lane: u32) -> f32 {
  var squares = 0.0;
  for (var i = lane; i < params.size; i += LANES) { let x = number_at(first + i); squares += x * x; }
  return inverseSqrt(all_sum(lane, squares) / f32(params.size) + params.eps);
}
${turnedHead("q", qNorm ? "q_weight" : undefined)}
${turnedHead("k", kNorm ? "k_weight" : undefined)}
fn run(group: u32, lane: u32) {
  let heads = params.heads + 2u * params.kv_heads;
  let token = group / heads;
  let head = group % heads;
  let first = group * params.size;
  if (head < params.heads) {
    turn_q(token, first, token * params.heads + head, lane);
  } else if (head < params.heads + params.kv_heads) {
    turn_k(token, first, token * params.kv_heads + head - params.heads, lane);
  } else {
    let to = (token * params.kv_heads + head - params.heads - params.kv_heads) * params.size;
    for (var i = lane; i < params.size; i += LANES) { v_set(to + i, qkv_at(first + i)); }
  }
}`,
  };
});

export const qkNormRope =
  (engine: Engine): Kernels["qkNormRope"] =>
  ([qkv, qWeight, kWeight, table, rows], [q, k, v], { numHeads, numKvHeads, eps, layout }) => {
    const views = [qkv, qWeight, kWeight, table, rows, q, k, v].filter((view) => view !== undefined);
    if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
    const size = q.shape[3];
    if (size === 0) return;
    const uses = [qWeight && "q", kWeight && "k", engine.abilities.subgroups && "subgroups"];
    const numbers = [...rotationNumbers(size, table, layout), numHeads, numKvHeads, eps];
    const groups = sizeOf(rows.shape) * (numHeads + 2 * numKvHeads);
    engine.dispatch(shaders(uses.filter(Boolean).join(" ")), views, numbers, groups);
    return undefined;
  };
