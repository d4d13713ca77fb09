// y = a b, per batch.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import type { Shader } from "../shader.js";

const LANES = 64;
const shader: Shader = {
  name: "matmul",
  reads: { a: "f32", b: "f32" },
  writes: { y: "f32" },
  params: {
    elements: "u32",
    m: "u32",
    n: "u32",
    c: "u32",
    a_row: "u32",
    a_column: "u32",
    b_row: "u32",
    b_column: "u32",
  },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place >= params.elements) { return; }
  let batch = place / (params.m * params.n);
  let row = place / params.n % params.m;
  let column = place % params.n;
  let a_first = batch * params.m * params.c + row * params.a_row;
  let b_first = batch * params.n * params.c + column * params.b_column;
  var sum = 0.0;
  for (var i = 0u; i < params.c; i++) { sum += a_at(a_first + i * params.a_column) * b_at(b_first + i * params.b_row); }
  y_set(place, sum);
}`,
};

export const matmul =
  (engine: Engine): Kernels["matmul"] =>
  ([a, b], [y], { transposeA, transposeB }) => {
    const [m, n] = y.shape.slice(-2);
    const c = a.shape[a.shape.length - (transposeA ? 2 : 1)];
    const strides = [...(transposeA ? [1, m] : [c, 1]), ...(transposeB ? [1, c] : [n, 1])];
    const elements = sizeOf(y.shape);
    engine.dispatch(shader, [a, b, y], [elements, m, n, c, ...strides], Math.ceil(elements / LANES));
  };
