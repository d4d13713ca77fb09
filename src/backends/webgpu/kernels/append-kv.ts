// Each token's keys and values into its slot of the pools, encoded where a pool is packed: a workgroup per token.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type Matrix, type View } from "../../../core/view.js";
import type { DType } from "../../../core/dtype.js";
import type { Kernels } from "../../backend.js";
import { encoder } from "../encoder.js";
import type { Engine } from "../engine.js";
import { packedReads } from "../packed.js";
import { MAX_WINDOWS } from "../pipelines.js";
import { variants, type Shader } from "../shader.js";
import { halfBits, q8Code } from "../wgsl.js";

const LANES = 256;

/** Stores the token's rows of one operand in a part of its pool, a word per lane. */
const storing = (pool: string, part: string, word: string): string => `
  {
    let words = params.heads * params.${pool}_${part}_words;
    for (var i = lane; i < words; i += LANES) {
      let row = group * params.heads + i / params.${pool}_${part}_words;
      let word = i % params.${pool}_${part}_words;
      ${pool}_${part}_set(u32(slot) * words + i, ${word});
    }
  }`;

/** @param formats a name and a format for each pool, such as "k f32 v q8_0" */
const shaders = variants((formats: string): Shader => {
  const words = formats.split(" ");
  const pools = words.flatMap((name, i) => (i % 2 === 0 ? [{ name, format: words[i + 1] }] : []));
  const params: Record<string, DType> = { tokens: "u32", count: "u32", heads: "u32", width: "u32" };
  const functions: string[] = [];
  const stores: string[] = [];
  const writes: Record<string, DType> = {};
  for (const { name, format } of pools) {
    const pool = `${name}_pool`;
    if (format !== "f32") functions.push(encoder(format, name));
    for (const [part, type] of Object.entries(packedReads(format, pool))) {
      writes[part] = type;
      params[`${part}_words`] = "u32";
      const kind = part.endsWith("codes") ? "code" : "scale";
      const word =
        format === "f32" ? `${name}_at(row * params.width + word)` : `${name}_${kind}_word(row, word, params.width)`;
      stores.push(storing(pool, `${kind}s`, word));
    }
  }
  return {
    name: "append-kv",
    reads: {
      ...Object.fromEntries(pools.map(({ name, format }) => [name, format === "f32" ? "u32" : "f32"])),
      slots: "i32",
    },
    writes,
    params,
    lanes: LANES,
    code: `
${functions.length > 0 ? halfBits + q8Code : ""}${functions.join("")}
var<workgroup> overwritten: atomic<u32>;
fn run(group: u32, lane: u32) {
  let slot = slots_at(group);
  if (slot < 0 || u32(slot) >= params.count) { return; }
  // Of the tokens that name a slot the last one stays, so the others keep away from it.
  for (var later = group + 1u + lane; later < params.tokens; later += LANES) {
    if (slots_at(later) == slot) { atomicStore(&overwritten, 1u); }
  }
  workgroupBarrier();
  if (atomicLoad(&overwritten) == 1u) { return; }${stores.join("")}
}`,
  };
});

interface Append {
  readonly name: string;
  readonly x: View;
  readonly pool: Matrix;
}

export const appendKV =
  (engine: Engine): Kernels["appendKV"] =>
  ([k, v, slots], [kPool, vPool]) => {
    const [count, heads, width] = kPool.shape;
    const tokens = sizeOf(slots.shape);
    if (heads * width === 0) return;
    const append = (appends: readonly Append[]): void => {
      const parts = appends.flatMap(({ pool }) => (isPackedView(pool) ? pool.parts : [pool]));
      const views = [...appends.map(({ x }) => x), slots, ...parts];
      if (appends.length > 1 && engine.bindings(...views) > MAX_WINDOWS) {
        for (const one of appends) append([one]);
        return;
      }
      const formats = appends.map(({ name, pool }) => `${name} ${isPackedView(pool) ? pool.scheme : "f32"}`).join(" ");
      const words = parts.map((part) => part.shape[part.shape.length - 1]);
      engine.dispatch(shaders(formats), views, [tokens, count, heads, width, ...words], tokens);
    };
    append([
      { name: "k", x: k, pool: kPool },
      { name: "v", x: v, pool: vPool },
    ]);
  };
