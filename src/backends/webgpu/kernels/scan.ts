// Running sums along an axis. A lane goes along a line; long lines are cut into blocks, of which each begins with the sum of those before it.
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;
const BLOCK = 64;
/** So many lines keep a device busy. */
const ENOUGH = 4096;

/** Along one axis of [outer, n, inner]. */
interface Lines {
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
}

type Form = "sums" | "running" | "running-on";

const shaders = variants((key: string): Shader => {
  const [form, type] = JSON.parse(key) as readonly [Form, "f32" | "i32"];
  return {
    name: `scan-${form}`,
    reads: { x: type, ...(form === "running-on" && { before: type }) },
    writes: { y: type },
    params: { blocks: "u32", n: "u32", inner: "u32", length: "u32", in_line: "u32", exclusive: "u32" },
    lanes: LANES,
    code: `
fn run(group: u32, lane: u32) {
  let block = group * LANES + lane;
  if (block >= params.blocks) { return; }
  let start = block / params.inner % params.in_line * params.length;
  let end = min(start + params.length, params.n);
  var at = (block / params.inner / params.in_line * params.n + start) * params.inner + block % params.inner;
  var sum = ${form === "running-on" ? "before_at(block)" : `${type}(0)`};
  for (var i = start; i < end; i++) {
    let next = sum + x_at(at);
${form === "sums" ? "" : "    y_set(at, select(next, sum, params.exclusive == 1u));"}
    sum = next;
    at += params.inner;
  }
${form === "sums" ? "  y_set(block, sum);" : ""}
}`,
  };
});

export const scan =
  (engine: Engine): Kernels["scan"] =>
  ([x], [y], { axis, exclusive }) => {
    if (sizeOf(x.shape) === 0) return;
    const lines = { outer: sizeOf(x.shape.slice(0, axis)), n: x.shape[axis], inner: sizeOf(x.shape.slice(axis + 1)) };
    scanLines(engine, x, y, lines, exclusive);
  };

function scanLines(engine: Engine, x: View, y: View, { outer, n, inner }: Lines, exclusive: boolean): void {
  const length = n <= 2 * BLOCK || outer * inner >= ENOUGH ? n : BLOCK;
  const inLine = Math.ceil(n / length);
  const blocks = outer * inLine * inner;
  const pass = (form: Form, ...views: readonly View[]): void =>
    engine.dispatch(
      shaders(JSON.stringify([form, x.dtype])),
      views,
      [blocks, n, inner, length, inLine, Number(exclusive)],
      Math.ceil(blocks / LANES),
    );
  if (inLine === 1) return pass("running", x, y);
  const sums = engine.scratch(x.dtype, blocks);
  const before = engine.scratch(x.dtype, blocks);
  pass("sums", x, sums);
  scanLines(engine, sums, before, { outer, n: inLine, inner }, true);
  pass("running-on", x, before, y);
}
