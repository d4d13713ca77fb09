// Turns pairs of components by the angle of the token's table row. The host picks the rows, so that no index becomes a float.
import { sizeOf } from "../../../core/shape.js";
import type { RopeLayout } from "../../backend.js";
import { floats, ints } from "../../cpu/read.js";
import type { GpuKernel } from "../gpu-kernel.js";
import { variants } from "../program.js";

/** Which pair component c is of, and whether it is its second. */
const pairs: Readonly<Record<RopeLayout, string>> = {
  half: `if (c >= half) { second = 1; pair = c - half; }
const other = second === 1 ? c - half : c + half;`,
  interleaved: `for (let i = 0; i < half; i++) {
  if (2 * i === c) { pair = i; }
  if (2 * i + 1 === c) { pair = i; second = 1; }
}
const other = second === 1 ? c - 1 : c + 1;`,
};

const programs = variants((layout: RopeLayout) => ({
  name: `rope-${layout}`,
  reads: ["x", "angles"],
  numbers: { heads: "Integer", size: "Integer", half: "Integer", sign: "Float" },
  body: `const c = this.thread.x;
const first = xAt + (this.thread.z * heads + this.thread.y) * size;
const own = x[first + c];
if (c >= 2 * half) { return own; }
let pair = this.thread.x;
let second = this.thread.x - this.thread.x;
${pairs[layout]}
const row = anglesAt + this.thread.z * 2 * half;
const cos = angles[row + pair];
const sin = sign * angles[row + half + pair];
const p = x[first + other];
if (second === 1) { return own * cos + p * sin; }
return own * cos - p * sin;`,
}));

export const rope: GpuKernel<"rope"> = (engine, [x, table, rows], [y], { layout, inverse }) => {
  const obstacle = engine.obstacle(x, y);
  if (obstacle !== undefined) return obstacle;
  const [heads, size] = x.shape.slice(-2);
  const turned = table.shape[1];
  if (turned === 0) return "nothing to turn";
  const { memory } = engine;
  const angles = pickedRows(floats(memory.readable(table)), table.shape[0], turned, ints(memory.readable(rows)));
  using picked = memory.scratch(angles.length, angles);
  const numbers = [heads, size, turned / 2, inverse ? -1 : 1];
  engine.run(programs(layout), [size, heads, sizeOf(rows.shape)], [x, picked], numbers, y);
  return undefined;
};

/** Zeros for a row that the table does not have. */
function pickedRows(table: Float32Array, count: number, width: number, rows: Int32Array): Float32Array<ArrayBuffer> {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    if (row >= 0 && row < count) picked.set(table.subarray(row * width, (row + 1) * width), i * width);
  });
  return picked;
}
