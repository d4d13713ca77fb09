// Products of many rounded rows with a weight whose codes are bytes or become such: tiles as in product-tiles.ts, but of codes, which are multiplied four at
// a time as integers. A step is a block of 32, so that each row of a tile has one scale.
import { DECLINED } from "../backend.js";
import { quantizedRows } from "./activations.js";
import { bytesReader } from "./byte-codes.js";
import type { Engine } from "./engine.js";
import { codeDots, packedReads, groupReader } from "./packed.js";
import { MAX_WINDOWS } from "./pipelines.js";
import type { RowsProduct } from "./product-rows.js";
import { QUADS, SIDE, STRIDE, tileShader, tilingOf } from "./product-tiles.js";
import { variants, type Shader } from "./shader.js";

/** `fn NAME_load(lane, first, block)` fills NAME_tile and NAME_scales with a block of each row, zeros past the last. */
const loader = (name: string, extent: string, tile: number, codes: string, scale: string): string => `
var<workgroup> ${name}_tile: array<vec4u, ${tile * STRIDE}>;
var<workgroup> ${name}_scales: array<f32, ${tile}>;
fn ${name}_load(lane: u32, first: u32, block: u32) {
  for (var i = lane; i < ${tile * QUADS}u; i += LANES) {
    let row = first + i / ${QUADS}u;
    let quad = i % ${QUADS}u;
    var codes = vec4u();
    var scale = 0.0;
    if (row < ${extent}) {
      codes = ${codes};
      if (quad == 0u) { scale = ${scale}; }
    }
    ${name}_tile[i / ${QUADS}u * ${STRIDE}u + quad] = codes;
    if (quad == 0u) { ${name}_scales[i / ${QUADS}u] = scale; }
  }
}`;

type Variant = `${number},${number},${string},${"even" | "odd"},${boolean}`;

const shaders = variants((variant: Variant): Shader => {
  const [tallText, wideText, format, evenness, biased] = variant.split(",");
  const [tall, wide] = [Number(tallText), Number(wideText)];
  const columns = (h: number, text: (column: number) => string): string =>
    [0, 1, 2, 3].map((c) => text((4 * h + c) * SIDE)).join(", ");
  const quads = [0, 1];
  return tileShader(tall, wide, biased === "true", {
    name: `product-code-tiles-${format}`,
    reads: { x_codes: "u32", x_scales: "f32", ...packedReads(format, "weight") },
    functions: `${codeDots(true)}${bytesReader(format, "weight", evenness === "even")}${groupReader(format, "weight", "params.n")}
fn weight_inside(row: u32, column: u32) -> vec4u {
  if (column < params.depth) { return weight_bytes(row, column, params.depth); }
  return vec4u();
}
fn blocks() -> u32 { return (params.depth + 31u) / 32u; }
${loader("a", "params.m", tall * SIDE, "x_codes_vec((row * blocks() + block) * 8u + quad * 4u)", "x_scales_at(row * blocks() + block)")}
${loader("b", "params.n", wide * SIDE, "weight_inside(row, block * 32u + quad * 16u)", "weight_group(row, block * 32u, params.depth)")}`,
    depth: 32,
    load: "a_load(lane, row, k / 32u); b_load(lane, column, k / 32u);",
    add: Array.from(
      { length: wide / 4 },
      (_, h) => `
    {
      ${quads.map((q) => [0, 1, 2, 3].map((c) => `let b${q}_${c} = b_tile[(j + ${(4 * h + c) * SIDE}u) * ${STRIDE}u + ${q}u];`).join(" ")).join("\n      ")}
      let scales = vec4f(${columns(h, (column) => `b_scales[j + ${column}u]`)});
      ${Array.from(
        { length: tall },
        (_, r) => `{
        ${quads.map((q) => `let a${q} = a_tile[(i + ${r * SIDE}u) * ${STRIDE}u + ${q}u];`).join(" ")}
        let dots = vec4i(${[0, 1, 2, 3].map((c) => `dot_of(a0, b0_${c}) + dot_of(a1, b1_${c})`).join(", ")});
        sum${r}_${h} += vec4f(dots) * (a_scales[i + ${r * SIDE}u] * scales);
      }`,
      ).join("\n      ")}
    }`,
    ).join(""),
  });
});

/** @returns DECLINED where the operands need more bindings than there are */
export function codeTilesProduct(engine: Engine, product: RowsProduct): typeof DECLINED | undefined {
  const { x, format, parts, bias, y, rows, width, outs } = product;
  const { codes, scales } = quantizedRows(engine, x, rows, width);
  const views = [codes, scales, ...parts, ...(bias ? [bias] : []), y];
  if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
  const { tall, wide, numbers, groups } = tilingOf(1, rows, outs, width);
  const evenness = width % 16 === 0 ? "even" : "odd";
  engine.dispatch(shaders(`${tall},${wide},${format},${evenness},${bias !== undefined}`), views, numbers, groups);
  return undefined;
}
