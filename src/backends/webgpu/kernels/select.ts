// a where the condition is not 0, else b; all three are broadcast.
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { broadcast, elementwise } from "../strided.js";

const choose = elementwise({
  name: "select",
  types: ["u32", "u32", "u32"],
  result: "u32",
  expression: "select(c, b, a != 0u)",
});

export const select =
  (engine: Engine): Kernels["select"] =>
  ([condition, a, b], [y]) =>
    broadcast(engine, choose, y, [condition, a, b]);
