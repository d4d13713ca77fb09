// With s = sigmoid(gate): dGate = dy * up * s * (1 + gate * (1 - s)), dUp = dy * gate * s.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";
import { sigmoid } from "../wgsl.js";

const LANES = 256;
/** A lane takes one number of gate and up, or four. */
const shaders = variants((numbers: 1 | 4): Shader => {
  const [get, set] = numbers === 4 ? ["_vec", "_set_vec"] : ["_at", "_set"];
  return {
    name: "swiglu-grad",
    reads: { halves: "f32", dy: "f32" },
    writes: { slopes: "f32" },
    params: { items: "u32", width: "u32" },
    lanes: LANES,
    code: `
${sigmoid}
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let at = item * ${numbers}u;
  let gate_place = at + at / params.width * params.width;
  let up_place = gate_place + params.width;
  let gate = halves${get}(gate_place);
  let up = halves${get}(up_place);
  let d = dy${get}(at);
  let s = ${numbers === 4 ? "vec4f(sigmoid(gate.x), sigmoid(gate.y), sigmoid(gate.z), sigmoid(gate.w))" : "sigmoid(gate)"};
  slopes${set}(gate_place, d * up * s * (1.0 + gate * (1.0 - s)));
  slopes${set}(up_place, d * gate * s);
}`,
  };
});

export const swigluGrad =
  (engine: Engine): Kernels["swigluGrad"] =>
  ([gateUp, dy], [dGateUp]) => {
    const { width } = rowsOf(dy.shape);
    const numbers = width % 4 === 0 ? 4 : 1;
    const items = sizeOf(dy.shape) / numbers;
    engine.dispatch(shaders(numbers), [gateUp, dy, dGateUp], [items, width], Math.ceil(items / LANES));
  };
