// Activations rounded by the Q8_0 rule before a product, in one dispatch: as codes and scales for integer dots, or as numbers. Eight lanes
// share a block of 32, so that x is read in order, four numbers at a time.
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { quadReader, packedReads } from "./packed.js";
import { variants, type Shader } from "./shader.js";
import { halfBits, q8Code } from "./wgsl.js";

const LANES = 64;

const results = {
  codes: {
    writes: { codes: "u32", scales: "f32" },
    code: `
  let bytes = bitcast<vec4u>(code) & vec4u(0xffu);
  codes_set(item * 8u + lane % 8u, bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u));
  if (lane % 8u == 0u) { scales_set(item, scale); }`,
  },
  numbers: {
    writes: { y: "f32" },
    code: `
  for (var i = 0u; i < 4u; i++) {
    if (column + i < params.width) { y_set(row * params.width + column + i, f32(code[i]) * scale); }
  }`,
  },
} as const;

type Variant = `${keyof typeof results} ${"even" | "odd"}`;

const shaders = variants((variant: Variant): Shader => {
  const [result, evenness] = variant.split(" ") as [keyof typeof results, string];
  return {
    name: `activations-${result}`,
    reads: packedReads("f32", "x"),
    writes: results[result].writes,
    params: { items: "u32", width: "u32", blocks: "u32" },
    lanes: LANES,
    code: `
${halfBits}${q8Code}${quadReader("f32", "x", evenness === "even")}
var<workgroup> most: array<f32, LANES>;
fn run(group: u32, lane: u32) {
  let item = group * (LANES / 8u) + lane / 8u;
  let row = item / params.blocks;
  let column = item % params.blocks * 32u + lane % 8u * 4u;
  var values = vec4f();
  if (item < params.items && column < params.width) { values = x_quad(row, column, params.width); }
  let sizes = abs(values);
  most[lane] = max(max(sizes.x, sizes.y), max(sizes.z, sizes.w));
  workgroupBarrier();
  if (item >= params.items) { return; }
  var largest = 0.0;
  for (var i = 0u; i < 8u; i++) { largest = max(largest, most[lane / 8u * 8u + i]); }
  let d = largest / 127.0;
  let inverse = select(1.0 / d, 0.0, d == 0.0);
  var code = vec4i();
  for (var i = 0u; i < 4u; i++) { code[i] = q8_code(values[i], inverse); }
  let scale = unpack2x16float(half_bits(d)).x;${results[result].code}
}`,
  };
});

function dispatch(engine: Engine, result: keyof typeof results, x: View, outputs: readonly View[], shape: Rows): void {
  const { rows, width } = shape;
  const blocks = Math.ceil(width / 32);
  const shader = shaders(`${result} ${width % 4 === 0 ? "even" : "odd"}`);
  engine.dispatch(shader, [x, ...outputs], [rows * blocks, width, blocks], Math.ceil((rows * blocks * 8) / LANES));
}

interface Rows {
  readonly rows: number;
  readonly width: number;
}

/** Rounded rows. */
export interface QuantizedRows {
  /** u32 [rows, 8 blocks]: int8 codes, four to a word from the lowest byte up; those of a short last block are filled up with zeros. */
  readonly codes: View;
  /** f32 [rows, blocks], each exactly an f16. */
  readonly scales: View;
}

/** The rows of x [rows, width] rounded, in scratch memory. */
export function quantizedRows(engine: Engine, x: View, rows: number, width: number): QuantizedRows {
  const blocks = Math.ceil(width / 32);
  const codes = engine.scratch("u32", rows, 8 * blocks);
  const scales = engine.scratch("f32", rows, blocks);
  dispatch(engine, "codes", x, [codes, scales], { rows, width });
  return { codes, scales };
}

/** The same as the numbers that they stand for, f32 [rows, width]. */
export function roundedRows(engine: Engine, x: View, rows: number, width: number): View {
  const y = engine.scratch("f32", rows, width);
  dispatch(engine, "numbers", x, [y], { rows, width });
  return y;
}
