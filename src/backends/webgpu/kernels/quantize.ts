// The codes of each row by a scheme's rule: a lane per word.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { encoder } from "../encoder.js";
import type { Engine } from "../engine.js";
import { packedReads } from "../packed.js";
import { variants, type Shader } from "../shader.js";
import { halfBits, q8Code } from "../wgsl.js";

const LANES = 64;
const shaders = variants((scheme: string): Shader => {
  const writes = packedReads(scheme, "y");
  return {
    name: `quantize-${scheme}`,
    reads: { x: "f32" },
    writes,
    params: { items: "u32", width: "u32", words: "u32", scale_words: "u32" },
    lanes: LANES,
    code: `
${halfBits}${q8Code}${encoder(scheme, "x")}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let row = item / (params.words + params.scale_words);
  let word = item % (params.words + params.scale_words);
  if (word < params.words) {
    y_codes_set(row * params.words + word, x_code_word(row, word, params.width));
  }${
    "y_scales" in writes
      ? ` else {
    let scale = word - params.words;
    y_scales_set(row * params.scale_words + scale, x_scale_word(row, scale, params.width));
  }`
      : ""
  }
}`,
  };
});

export const quantize =
  (engine: Engine): Kernels["quantize"] =>
  ([x], [{ parts }], { scheme }) => {
    const { width } = rowsOf(x.shape);
    const [words, scaleWords = 0] = parts.map(({ shape }) => shape[1]);
    const items = parts.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    engine.dispatch(shaders(scheme), [x, ...parts], [items, width, words, scaleWords], Math.ceil(items / LANES));
  };
