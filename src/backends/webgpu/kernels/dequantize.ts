// The numbers that packed ones stand for.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { decoder, packedReads } from "../packed.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shaders = variants((scheme: string): Shader => ({
  name: `dequantize-${scheme}`,
  reads: packedReads(scheme, "x"),
  writes: { y: "f32" },
  params: { elements: "u32", width: "u32" },
  lanes: LANES,
  code: `
${decoder(scheme, "x")}
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place < params.elements) { y_set(place, x_number(place / params.width, place % params.width, params.width)); }
}`,
}));

export const dequantize =
  (engine: Engine): Kernels["dequantize"] =>
  ([x], [y]) => {
    const elements = sizeOf(x.shape);
    const { width } = rowsOf(x.shape);
    engine.dispatch(shaders(x.scheme), [...x.parts, y], [elements, width], Math.ceil(elements / LANES));
  };
