// y[..., i] = value + step * i.
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import type { Shader } from "../shader.js";

const LANES = 256;

const shader = (name: string, type: "f32" | "u32", expression: string): Shader => ({
  name,
  reads: {},
  writes: { y: type },
  params: { elements: "u32", width: "u32", value: type, step: type },
  lanes: LANES,
  code: `
fn run(group: u32, lane: u32) {
  let at = group * LANES + lane;
  if (at < params.elements) { y_set(at, ${expression}); }
}`,
});
const constant = shader("fill", "u32", "params.value");
const integers = shader("fill-integers", "u32", "params.value + params.step * (at % params.width)");
const floats = shader("fill-floats", "f32", "params.value + params.step * f32(at % params.width)");

export const fill =
  (engine: Engine): Kernels["fill"] =>
  (_, [y], { value, step }) => {
    const elements = sizeOf(y.shape);
    const { width } = rowsOf(y.shape);
    const groups = Math.ceil(elements / LANES);
    if (y.dtype !== "f32") {
      // The fraction is cut off, and the number taken modulo 2^32.
      engine.dispatch(integers, [y], [elements, width, Math.trunc(value), Math.trunc(step)], groups);
    } else if (step === 0) engine.dispatch(constant, [y], [elements, width, bitsOf(value), 0], groups);
    else engine.dispatch(floats, [y], [elements, width, value, step], groups);
  };

/** Of the nearest f32: a constant is moved, so that every number arrives. */
const bitsOf = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0];
