// The codes of each row by a scheme's rule. One lane makes all that shares a word: two numbers, or two blocks with their scales.
import { rowsOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { q8Code } from "../activations.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";
import { halfBits } from "../wgsl.js";

const LANES = 64;

/** Two numbers per word. */
const pairs: Readonly<Record<string, string>> = {
  f16: "half_bits",
  bf16: "brain_bits",
};

/** Statements that find d and inverse of a block from `first`, and the code of a number. */
const blocks: Readonly<Record<string, { readonly bits: number; readonly scale: string; readonly code: string }>> = {
  q8_0: {
    bits: 8,
    scale: `
  var most = 0.0;
  for (var i = first; i < end; i++) { most = max(most, abs(x_at(i))); }
  let d = most / 127.0;`,
    code: `
  return bitcast<u32>(q8_code(value, inverse)) & 0xffu;`,
  },
  q4_0: {
    bits: 4,
    scale: `
  var most = 0.0;
  for (var i = first; i < end; i++) { let value = x_at(i); if (abs(value) > abs(most)) { most = value; } }
  let d = most / -8.0;`,
    code: `
  return u32(clamp(trunc(value * inverse + 8.5), 0.0, 15.0));`,
  },
};

const pairShader = (scheme: string): Shader => ({
  name: `quantize-${scheme}`,
  reads: { x: "f32" },
  writes: { codes: "u32" },
  params: { items: "u32", width: "u32", words: "u32" },
  lanes: LANES,
  code: `
${halfBits}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let row = item / params.words;
  let column = item % params.words * 2u;
  let at = row * params.width + column;
  var word = ${pairs[scheme]}(x_at(at));
  if (column + 1u < params.width) { word |= ${pairs[scheme]}(x_at(at + 1u)) << 16u; }
  codes_set(item, word);
}`,
});

const blockShader = (scheme: string): Shader => {
  const { bits, scale, code } = blocks[scheme];
  return {
    name: `quantize-${scheme}`,
    reads: { x: "f32" },
    writes: { codes: "u32", scales: "u32" },
    params: { items: "u32", width: "u32", words: "u32", scale_words: "u32" },
    lanes: LANES,
    code: `
${halfBits}${q8Code}
fn code_of(value: f32, inverse: f32) -> u32 {${code}
}
// One block; returns the bits of its scale.
fn encode(row: u32, block: u32) -> u32 {
  let first = row * params.width + block * 32u;
  let end = min(first + 32u, (row + 1u) * params.width);${scale}
  let inverse = select(1.0 / d, 0.0, d == 0.0);
  for (var w = 0u; w < ${bits}u; w++) {
    var word = 0u;
    for (var k = 0u; k < ${32 / bits}u; k++) {
      let i = first + w * ${32 / bits}u + k;
      if (i < end) { word |= code_of(x_at(i), inverse) << (k * ${bits}u); }
    }
    if (first + w * ${32 / bits}u < end) { codes_set(row * params.words + block * ${bits}u + w, word); }
  }
  return half_bits(d);
}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let row = item / params.scale_words;
  let block = item % params.scale_words * 2u;
  var word = encode(row, block);
  if ((block + 1u) * 32u < params.width) { word |= encode(row, block + 1u) << 16u; }
  scales_set(item, word);
}`,
  };
};

const shaders = variants((scheme: string) => (scheme in pairs ? pairShader(scheme) : blockShader(scheme)));

export const quantize =
  (engine: Engine): Kernels["quantize"] =>
  ([x], [{ parts }], { scheme }) => {
    const { rows, width } = rowsOf(x.shape);
    const perRow = parts.map((part) => part.shape[part.shape.length - 1]);
    const items = rows * perRow[perRow.length - 1];
    engine.dispatch(shaders(scheme), [x, ...parts], [items, width, ...perRow], Math.ceil(items / LANES));
  };
