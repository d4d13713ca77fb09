// The k largest of each row: every element counts how many come before it.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { rankKey } from "../ranking.js";
import type { Shader } from "../shader.js";

const LANES = 64;
const shader: Shader = {
  name: "top-k",
  reads: { x: "u32" },
  writes: { values: "u32", indices: "i32" },
  params: { elements: "u32", n: "u32", k: "u32" },
  lanes: LANES,
  code: `${rankKey}
fn run(group: u32, lane: u32) {
  let place = group * LANES + lane;
  if (place >= params.elements) { return; }
  let first = place / params.n * params.n;
  let own = place - first;
  let mine = rank_key(x_at(place));
  var rank = 0u;
  for (var i = 0u; i < params.n; i++) {
    let other = rank_key(x_at(first + i));
    rank += u32(other > mine || (other == mine && i < own));
  }
  if (rank < params.k) {
    let to = place / params.n * params.k + rank;
    values_set(to, x_at(place));
    indices_set(to, i32(own));
  }
}`,
};

export const topK =
  (engine: Engine): Kernels["topK"] =>
  ([x], [values, indices], { k }) => {
    const n = x.shape[x.shape.length - 1];
    const elements = k === 0 ? 0 : sizeOf(x.shape);
    engine.dispatch(shader, [x, values, indices], [elements, n, k], Math.ceil(elements / LANES));
  };
