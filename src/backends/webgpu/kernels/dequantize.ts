// The numbers that packed ones stand for.
import { rowsOf } from "../../../core/shape.js";
import type { PackedView, View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { numbersReader, packedReads } from "../packed.js";
import { inPieces, part } from "../pieces.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shaders = variants((key: string): Shader => {
  const [scheme, items] = JSON.parse(key) as readonly [string, 1 | 4];
  const numbers = numbersReader(scheme, "x", items, "params.height");
  return {
    name: `dequantize-${scheme}`,
    reads: packedReads(scheme, "x"),
    writes: { y: "f32" },
    params: { elements: "u32", width: "u32", height: "u32" },
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

/** y [rows, width]. A scheme of many parts may take more bindings than there are; then some rows at a time. */
export function decodeRows(engine: Engine, { scheme, parts, shape }: PackedView, y: View): void {
  const { rows, width } = rowsOf(shape);
  const height = shape.length < 2 ? 1 : shape[shape.length - 2];
  const items = width % 4 === 0 ? 4 : 1;
  const shader = shaders(JSON.stringify([scheme, items]));
  const viewsOf = (first: number, count: number): readonly View[] =>
    count === rows
      ? [...parts, y]
      : [...parts, { ...y, shape: [rows, width] }].map((view) => {
          const [, inRow] = view.shape;
          return part(view, first * inRow, count * inRow);
        });
  inPieces(engine, rows, viewsOf, (views, count) => {
    const elements = count * width;
    engine.dispatch(shader, views, [elements, width, height], Math.ceil(elements / (items * LANES)));
  });
}

export const dequantize =
  (engine: Engine): Kernels["dequantize"] =>
  ([x], [y]) =>
    decodeRows(engine, x, y);
