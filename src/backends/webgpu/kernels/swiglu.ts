// y = silu(gate) * up for rows that hold gate, then up.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { box, elementwise, strided, whole } from "../strided.js";
import { sigmoid } from "../wgsl.js";

const shaders = elementwise({
  name: "swiglu",
  types: ["f32", "f32"],
  result: "f32",
  functions: sigmoid,
  expression: "a * sigmoid(a) * b",
});

export const swiglu =
  (engine: Engine): Kernels["swiglu"] =>
  ([gateUp], [y]) => {
    const start = y.shape.map(() => 0);
    const halves = [0, y.shape[y.shape.length - 1]].map((first) => box(gateUp, [...start.slice(1), first]));
    strided(engine, shaders, y.shape, whole(y), halves);
  };
