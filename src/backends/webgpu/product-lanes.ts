// Products of many rows on an emulated device, where lanes that wait for one another cost far more than reading twice: each lane makes a block of
// y by itself.
import { DECLINED } from "../backend.js";
import type { Engine } from "./engine.js";
import { packedReads, quadDecoder, quadReader } from "./packed.js";
import { MAX_WINDOWS } from "./pipelines.js";
import type { Product } from "./product-tiles.js";
import { variants, type Shader } from "./shader.js";

const LANES = 16;
/** Rows and columns of a lane. */
const TALL = 4;
const WIDE = 8;

type Evenness = "even" | "odd";

const rows = [...Array(TALL).keys()];
const columns = [...Array(WIDE).keys()];
const halves = [...Array(WIDE / 4).keys()];
const eachSum = (text: (r: number, h: number) => string): string =>
  rows.flatMap((r) => halves.map((h) => text(r, h))).join("\n  ");

const shaders = variants((variant: `${string},${Evenness},${boolean}`): Shader => {
  const [format, evenness, biased] = variant.split(",");
  const even = evenness === "even";
  const dots = (r: number, h: number): string => [0, 1, 2, 3].map((c) => `dot(a${r}, b${4 * h + c})`).join(", ");
  return {
    name: `product-lanes-${format}`,
    reads: { ...packedReads("f32", "a"), ...packedReads(format, "b"), ...(biased === "true" && { bias: "f32" }) },
    writes: { y: "f32" },
    params: { m: "u32", n: "u32", depth: "u32", items: "u32" },
    lanes: LANES,
    code: `
${quadDecoder(format)}${quadReader("f32", "a", even)}${quadReader(format, "b", even, "params.n")}
fn put(row: u32, column: u32, values: vec4f) {
  if (row >= params.m) { return; }
  for (var c = 0u; c < min(4u, params.n - min(params.n, column)); c++) {
    let at = column + c;
    y_set(row * params.n + at, values[c]${biased === "true" ? " + bias_at(at)" : ""});
  }
}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let tiles = (params.m + ${TALL - 1}u) / ${TALL}u;
  let row = item % tiles * ${TALL}u;
  let column = item / tiles * ${WIDE}u;
  // What lies past the end is made of the last row and not written.
  ${rows.map((r) => `let row${r} = min(row + ${r}u, params.m - 1u);`).join(" ")}
  ${columns.map((c) => `let column${c} = min(column + ${c}u, params.n - 1u);`).join(" ")}
  ${eachSum((r, h) => `var sum${r}_${h} = vec4f();`)}
  for (var k = 0u; k < params.depth; k += 4u) {
    ${rows.map((r) => `let a${r} = a_quad(row${r}, k, params.depth);`).join(" ")}
    ${columns.map((c) => `let b${c} = b_quad(column${c}, k, params.depth);`).join(" ")}
    ${eachSum((r, h) => `sum${r}_${h} += vec4f(${dots(r, h)});`)}
  }
  ${eachSum((r, h) => `put(row + ${r}u, column + ${4 * h}u, sum${r}_${h});`)}
}`,
  };
});

/**
 * A product without a batch, of sides that lie as they are read.
 * @returns DECLINED where the operands need more bindings than there are
 */
export function productByLanes(engine: Engine, { a, b, bias, y, m, n, depth }: Product): typeof DECLINED | undefined {
  const views = [...a.parts, ...b.parts, ...(bias ? [bias] : []), y];
  if (engine.bindings(...views) > MAX_WINDOWS) return DECLINED;
  const items = Math.ceil(m / TALL) * Math.ceil(n / WIDE);
  const shader = shaders(`${b.format},${depth % 4 === 0 ? "even" : "odd"},${bias !== undefined}`);
  engine.dispatch(shader, views, [m, n, depth, items], Math.ceil(items / LANES));
  return undefined;
}
