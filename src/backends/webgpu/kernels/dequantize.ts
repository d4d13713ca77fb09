// The numbers that packed ones stand for.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { numbersReader, packedReads } from "../packed.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shaders = variants((key: string): Shader => {
  const [scheme, items] = JSON.parse(key) as readonly [string, 1 | 4];
  const numbers = numbersReader(scheme, "x", items);
  return {
    name: `dequantize-${scheme}`,
    reads: packedReads(scheme, "x"),
    writes: { y: "f32" },
    params: { elements: "u32", width: "u32" },
    lanes: LANES,
    code: `
${numbers.functions}
fn run(group: u32, lane: u32) {
  let place = (group * LANES + lane) * ${items}u;
  if (place >= params.elements) { return; }
  let row = place / params.width;
  let column = place % params.width;
  y_${items === 4 ? "set_vec" : "set"}(place, ${numbers.at("row", "column", "params.width")});
}`,
  };
});

export const dequantize =
  (engine: Engine): Kernels["dequantize"] =>
  ([x], [y]) => {
    const elements = sizeOf(x.shape);
    const { width } = rowsOf(x.shape);
    const items = width % 4 === 0 ? 4 : 1;
    const shader = shaders(JSON.stringify([x.scheme, items]));
    engine.dispatch(shader, [...x.parts, y], [elements, width], Math.ceil(elements / (items * LANES)));
  };
