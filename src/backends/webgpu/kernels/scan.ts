// Running sums along an axis, one line after another.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const shaders = variants((type: "f32" | "i32"): Shader => ({
  name: `scan-${type}`,
  reads: { x: type },
  writes: { y: type },
  params: { lines: "u32", n: "u32", inner: "u32", exclusive: "u32" },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let line = group * LANES + lane;
  if (line >= params.lines) { return; }
  var at = line / params.inner * params.n * params.inner + line % params.inner;
  var sum = ${type}(0);
  for (var i = 0u; i < params.n; i++) {
    let value = x_at(at);
    if (params.exclusive == 1u) { y_set(at, sum); }
    sum += value;
    if (params.exclusive == 0u) { y_set(at, sum); }
    at += params.inner;
  }
}`,
}));

export const scan =
  (engine: Engine): Kernels["scan"] =>
  ([x], [y], { axis, exclusive }) => {
    const n = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    if (n === 0) return;
    const lines = sizeOf(x.shape) / n;
    const shader = shaders(x.dtype as "f32" | "i32");
    engine.dispatch(shader, [x, y], [lines, n, inner, Number(exclusive)], Math.ceil(lines / LANES));
  };
