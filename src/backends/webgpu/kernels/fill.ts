// y[..., i] = value + step * i.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { wordOf } from "../constants.js";
import type { Engine } from "../engine.js";
import type { Shader } from "../shader.js";

const LANES = 256;

/** Of one number, whose bits are moved, so that every one arrives. */
const constant: Shader = {
  name: "fill",
  reads: {},
  writes: { y: "u32" },
  params: { elements: "u32", word: "u32" },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let first = (group * LANES + lane) * 4u;
  if (first + 4u <= params.elements) { y_set_vec(first, vec4u(params.word)); return; }
  for (var i = first; i < params.elements; i++) { y_set(i, params.word); }
}`,
};

const progression = (name: string, type: "f32" | "u32"): Shader => ({
  name,
  reads: {},
  writes: { y: type },
  params: { elements: "u32", width: "u32", value: type, step: type },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let at = group * LANES + lane;
  if (at < params.elements) { y_set(at, params.value + params.step * ${type}(at % params.width)); }
}`,
});
const integers = progression("fill-integers", "u32");
const floats = progression("fill-floats", "f32");

export const fill =
  (engine: Engine): Kernels["fill"] =>
  (_, [y], { value, step }) => {
    if (step === 0) return fillWith(engine, y, value);
    const elements = sizeOf(y.shape);
    const { width } = rowsOf(y.shape);
    const float = y.dtype === "f32";
    const [first, next] = float ? [value, step] : [wordOf(value, "u32"), wordOf(step, "u32")];
    engine.dispatch(float ? floats : integers, [y], [elements, width, first, next], Math.ceil(elements / LANES));
  };

/** The same number everywhere. */
export function fillWith(engine: Engine, y: View, value: number): void {
  const elements = sizeOf(y.shape);
  engine.dispatch(constant, [y], [elements, wordOf(value, y.dtype)], Math.ceil(elements / (4 * LANES)));
}
