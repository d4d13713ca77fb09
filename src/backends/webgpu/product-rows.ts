// Products of few rows with a weight as it is stored, [outs, width]: reading the weight is all the work, so it is read once for up to four
// rows, in whole words, and its rows are shared out among as many workgroups as there are. Lanes stand along a row.
import type { View } from "../../core/view.js";
import { DECLINED } from "../backend.js";
import { quantizedRows } from "./activations.js";
import { nibbleBytes } from "./byte-codes.js";
import type { Engine } from "./engine.js";
import {
  bitsOf, codeDots, groupReader, groupType, hasGroups, packedReads, quadDecoder, quadIn, quadReader, scaled,
} from "./packed.js"; // prettier-ignore
import { MAX_WINDOWS } from "./pipelines.js";
import { variants, type Shader } from "./shader.js";

/** With more rows tiles in workgroup memory are better, although they leave some lanes without work. */
export const FEW_ROWS = 8;
/** Rows of the weight per workgroup: what is read of x serves all four, and four loads are under way at a time. */
const OUTS = [0, 1, 2, 3];

export interface RowsProduct {
  readonly x: View;
  /** Whether x is rounded by the Q8_0 rule first; the weight's codes then are bytes. */
  readonly rounded: boolean;
  readonly format: string;
  readonly parts: readonly View[];
  readonly bias: View | undefined;
  readonly y: View;
  readonly rows: number;
  readonly width: number;
  readonly outs: number;
}

/** How a chunk of a weight's row, some words that one lane reads at a time, meets its part of x. */
interface Way {
  readonly reads: Shader["reads"];
  /** Words of the weight. */
  readonly words: number;
  /** Products of a vector of x and one of the weight per chunk; expressions for them, and the function that takes both. */
  readonly steps: number;
  x(row: number, step: number): string;
  weight(out: number, step: number): string;
  readonly times: string;
  /** The type of four such products, for four rows of the weight. */
  readonly type: "vec4f" | "vec4i";
  /** What a sum over the chunk is to be multiplied by for a row of x, besides the weight's scale. */
  scale?(row: number): string;
  readonly functions: string;
}

const part = (words: string, i: number): string => `${words}.${"xyzw"[i]}`;

/**
 * 16 bytes at a time. But lanes that took 16 of a 4-bit format would read numbers of x at a distance of 32; as codes these are small enough, and
 * where a group has more than a scale, reading that once per block is worth it. Of 6-bit codes 16, a block, make 12 bytes.
 */
function wordsPerChunk(format: string, rounded: boolean): number {
  if (bitsOf(format) === 6) return 3;
  return bitsOf(format) === 4 && groupType(format) === "f32" && !rounded ? 1 : 4;
}

/** Numbers times numbers. */
function byNumbers(format: string, even: boolean): Way {
  const words = wordsPerChunk(format, false);
  return {
    reads: packedReads("f32", "x"),
    words,
    steps: (8 * words) / bitsOf(format),
    x: (row, step) => `x_inside(row${row}, column + ${4 * step}u)`,
    // Numbers are rounded as decoded ones are; a sum times the scale would be rounded once more.
    weight(out, step) {
      const quad = quadIn(format, `words${out}`, step);
      return hasGroups(format) ? scaled(format, quad, `group${out}`) : quad;
    },
    times: "dot",
    type: "vec4f",
    functions: `${quadDecoder(format)}${quadReader("f32", "x", even)}
fn x_inside(row: u32, column: u32) -> vec4f {
  ${even ? "" : "if (column >= params.width) { return vec4f(); }"}
  return x_quad(row, column, params.width);
}`,
  };
}

/** Codes times codes. A chunk lies within a block, with one scale. */
function byCodes(format: string, packedDot: boolean): Way {
  const nibbles = (words: string, step: number): string =>
    [0, 1]
      .map((i) => `bytes_of(${part(words, 2 * step + i)}), bytes_of(${part(words, 2 * step + i)} >> 16u)`)
      .join(", ");
  return {
    reads: { x_codes: "u32", x_scales: "f32" },
    words: wordsPerChunk(format, true),
    steps: 8 / bitsOf(format),
    x: (row, step) => `x_codes_vec(row${row} * blocks * 8u + column / 4u + ${4 * step}u)`,
    weight: (out, step) => (bitsOf(format) === 8 ? `words${out}` : `vec4u(${nibbles(`words${out}`, step)})`),
    times: "dot_of",
    type: "vec4i",
    scale: (row) => `x_scales_at(row${row} * blocks + column / 32u)`,
    functions: codeDots(packedDot) + nibbleBytes(format),
  };
}

interface Variant {
  readonly format: string;
  readonly rounded: boolean;
  /** Whether rows are whole chunks. */
  readonly even: boolean;
  readonly biased: boolean;
  /** Of x, per workgroup. */
  readonly rows: number;
  readonly lanes: number;
  readonly subgroups: boolean;
  readonly packedDot: boolean;
}

const wayOf = ({ format, rounded, even, packedDot }: Variant): Way =>
  rounded ? byCodes(format, packedDot) : byNumbers(format, even);

/**
 * `parts`, in which each lane, or the first of each subgroup, lays its vector for each row of x, and `fn gathered(lane: u32) -> f32`: what
 * they sum to, for lane 4 r + i component i of row r. All rows at once, because barriers cost more than memory.
 */
function gathering({ rows, lanes, subgroups }: Variant): string {
  if (subgroups) {
    return `
var<workgroup> parts: array<vec4f, ${(lanes / 4) * rows}>; // a subgroup has at least four lanes
fn gathered(lane: u32) -> f32 {
  workgroupBarrier();
  let at = lane / 4u % ${rows}u;
  var sum = parts[at][lane % 4u];
  for (var i = 1u; i < LANES / subgroup_lanes; i++) { sum += parts[i * ${rows}u + at][lane % 4u]; }
  return sum;
}`;
  }
  return `
var<workgroup> parts: array<vec4f, ${lanes * rows}>;
fn gathered(lane: u32) -> f32 {
  for (var half = ${(lanes / 2) * rows}u; half >= ${rows}u; half /= 2u) {
    workgroupBarrier();
    for (var i = lane; i < half; i += LANES) { parts[i] += parts[i + half]; }
  }
  workgroupBarrier();
  return parts[lane / 4u % ${rows}u][lane % 4u];
}`;
}

const shaders = variants((key: string): Shader => {
  const variant = JSON.parse(key) as Variant;
  const { format, even, biased, lanes, subgroups } = variant;
  const way = wayOf(variant);
  const rows = Array.from({ length: variant.rows }, (_, row) => row);
  const steps = Array.from({ length: way.steps }, (_, step) => step);
  const perOut = (expression: (out: number) => string): string => OUTS.map(expression).join(", ");
  const guarded = OUTS.slice(0, way.words)
    .map((i) => `if (at + ${i}u < params.words) { words[${i}] = weight_codes_at(row * params.words + at + ${i}u); }`)
    .join(" ");
  const whole =
    way.words === 4
      ? "words = weight_codes_vec(row * params.words + at);"
      : OUTS.slice(0, way.words)
          .map((i) => `words[${i}] = weight_codes_at(row * params.words + at + ${i}u);`)
          .join(" ");
  const groups = OUTS.map((out) => `let group${out} = weight_group(out${out}, column, params.width);`).join(" ");
  return {
    name: `product-rows-${format}${variant.rounded ? "-q8" : ""}`,
    reads: { ...way.reads, ...packedReads(format, "weight"), ...(biased && { bias: "f32" }) },
    writes: { y: "f32" },
    params: { rows: "u32", width: "u32", outs: "u32", words: "u32", row_blocks: "u32" },
    lanes,
    code: `
${way.functions}${hasGroups(format) ? groupReader(format, "weight", "params.outs") : ""}
${gathering(variant)}
fn chunk_of(row: u32, at: u32) -> vec4u {
  var words = vec4u();
  ${even ? whole : guarded}
  return words;
}
fn run(group: u32, lane: u32) {
  // Groups that read the same part of the weight are neighbours.
  let first = group / params.row_blocks * 4u;
  let row = group % params.row_blocks * ${variant.rows}u;
  ${OUTS.map((out) => `let out${out} = min(first + ${out}u, params.outs - 1u);`).join(" ")}
  ${rows.map((r) => `let row${r} = min(row + ${r}u, params.rows - 1u); var sums${r} = vec4f();`).join("\n  ")}
  ${variant.rounded ? "let blocks = (params.width + 31u) / 32u;" : ""}
  for (var at = lane * ${way.words}u; at < params.words; at += ${lanes * way.words}u) {
    let column = at / ${way.words}u * ${(32 * way.words) / bitsOf(format)}u;
    ${OUTS.map((out) => `let words${out} = chunk_of(out${out}, at);`).join(" ")}
    ${hasGroups(format) ? groups : ""}
    ${rows.map((r) => `var part${r} = ${way.type}();`).join(" ")}
    ${steps
      .map(
        (step) => `{
      ${OUTS.map((out) => `let w${out} = ${way.weight(out, step)};`).join(" ")}
      ${rows.map((r) => `{ let v = ${way.x(r, step)}; part${r} += ${way.type}(${perOut((out) => `${way.times}(v, w${out})`)}); }`).join("\n      ")}
    }`,
      )
      .join("\n    ")}
    ${rows.map((r) => `sums${r} += vec4f(part${r})${way.scale ? ` * (vec4f(${perOut((out) => `group${out}`)}) * ${way.scale(r)})` : ""};`).join(" ")}
  }
  ${rows.map((r) => `${subgroups ? `let all${r} = subgroupAdd(sums${r}); if (subgroup_lane == 0u) { parts[lane / subgroup_lanes * ${variant.rows}u + ${r}u] = all${r}; }` : `parts[lane * ${variant.rows}u + ${r}u] = sums${r};`}`).join("\n  ")}
  let y_row = row + lane / 4u;
  let out = first + lane % 4u;
  let sum = gathered(lane);
  if (lane < ${4 * variant.rows}u && y_row < params.rows && out < params.outs) {
    y_set(y_row * params.outs + out, sum${biased ? " + bias_at(out)" : ""});
  }
}`,
  };
});

function quantizedViews(engine: Engine, x: View, rows: number, width: number): readonly View[] {
  const { codes, scales } = quantizedRows(engine, x, rows, width);
  return [codes, scales];
}

/**
 * y [rows, outs] = x W^T + bias; one dispatch, and one more where x is rounded.
 * @returns DECLINED where the operands need more bindings than there are
 */
export function fewRowsProduct(engine: Engine, product: RowsProduct): typeof DECLINED | undefined {
  const { x, rounded, format, parts, bias, y, rows, width, outs } = product;
  if (rows === 0 || outs === 0) return undefined;
  const words = (width * bitsOf(format)) / 32;
  const chunks = words / wordsPerChunk(format, rounded);
  const perGroup = rows > 2 ? 4 : rows;
  const rowBlocks = Math.ceil(rows / perGroup);
  const variant: Variant = {
    format,
    rounded,
    even: Number.isInteger(chunks),
    biased: bias !== undefined,
    rows: perGroup,
    // Each lane has some chunks to add up before all meet.
    lanes: chunks >= 512 ? 128 : chunks >= 128 ? 64 : 32,
    subgroups: engine.abilities.subgroups,
    packedDot: engine.abilities.packedDot,
  };
  const operands = rounded ? quantizedViews(engine, x, rows, width) : [x];
  const views = [...operands, ...parts, ...(bias ? [bias] : []), y];
  if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
  engine.dispatch(
    shaders(JSON.stringify(variant)),
    views,
    [rows, width, outs, Math.ceil(words), rowBlocks],
    Math.ceil(outs / 4) * rowBlocks,
  );
  return undefined;
}
