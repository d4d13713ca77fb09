// Turns pairs of the first r components of each head by the angle of their token; the rest are copied.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { rotation, rotationNumbers, rotationParams } from "../rotation.js";
import type { Shader } from "../shader.js";

const LANES = 64;
// Bits, since components that stay are moved.
const shader: Shader = {
  name: "rope",
  reads: { x: "u32", table: "f32", rows: "i32" },
  writes: { y: "u32" },
  params: { ...rotationParams, items: "u32", heads: "u32", direction: "f32" },
  lanes: LANES,
  code: `
${rotation}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let head = item / shares();
  let share = item % shares();
  if (share >= params.pairs) {
    let at = head * params.size + still_at(share);
    y_set(at, x_at(at));
    return;
  }
  let at = head * params.size + pair_at(share);
  let pair = bitcast<vec2f>(vec2u(x_at(at), x_at(at + params.gap)));
  let result = bitcast<vec2u>(turned(pair, angle(head / params.heads, share) * vec2f(1.0, params.direction)));
  y_set(at, result.x);
  y_set(at + params.gap, result.y);
}`,
};

export const rope =
  (engine: Engine): Kernels["rope"] =>
  ([x, table, rows], [y], { layout, inverse }) => {
    const [heads, size] = x.shape.slice(-2);
    const numbers = rotationNumbers(size, table, layout);
    const items = sizeOf(x.shape.slice(0, -1)) * (size - table.shape[1] / 2);
    const groups = Math.ceil(items / LANES);
    engine.dispatch(shader, [x, table, rows, y], [...numbers, items, heads, inverse ? -1 : 1], groups);
  };
