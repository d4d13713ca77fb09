// Rows that belong to key rows, summed into the slots of a pool that these name: a workgroup per slot looks for its key rows one after the
// other, so that the order is always the same.
import { sizeOf } from "../../core/shape.js";
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import type { Shader } from "./shader.js";

const LANES = 128;

const shader: Shader = {
  name: "slot-sums",
  reads: { x: "f32", keys: "i32" },
  writes: { y: "f32" },
  params: { count: "u32", width: "u32" },
  lanes: LANES,
  code: `
var<workgroup> nearest: atomic<u32>;
var<workgroup> found: u32;
// The next key row that names the slot, or params.count; hidden ones name none.
fn next_row(slot: u32, first: u32, lane: u32) -> u32 {
  if (lane == 0u) { atomicStore(&nearest, params.count); }
  workgroupBarrier();
  for (var row = first + lane; row < atomicLoad(&nearest); row += LANES) {
    if (keys_at(row * 3u) >= 0 && keys_at(row * 3u + 2u) == i32(slot)) { atomicMin(&nearest, row); }
  }
  workgroupBarrier();
  if (lane == 0u) { found = atomicLoad(&nearest); }
  return workgroupUniformLoad(&found);
}
fn run(group: u32, lane: u32) {
  let to = group * params.width;
  for (var i = lane; i < params.width; i += LANES) { y_set(to + i, 0.0); }
  var row = next_row(group, 0u, lane);
  while (row < params.count) {
    for (var i = lane; i < params.width; i += LANES) { y_set(to + i, y_at(to + i) + x_at(row * params.width + i)); }
    row = next_row(group, row + 1u, lane);
  }
}`,
};

/** @param x f32 [B, S, ...] @param keys i32 [B, S, 3]: position, segment, slot @param y f32 [N, ...]; a slot that nobody names gets zeros */
export function sumBySlot(engine: Engine, x: View, keys: View, y: View): void {
  const [slots, ...row] = y.shape;
  const width = sizeOf(row);
  if (width > 0) engine.dispatch(shader, [x, keys, y], [sizeOf(keys.shape) / 3, width], slots);
}
