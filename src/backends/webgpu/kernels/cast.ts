// The same numbers as another type.
import type { DType } from "../../../core/dtype.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants } from "../shader.js";
import { broadcast, copy, elementwise, type Elementwise } from "../strided.js";
import { isNan } from "../wgsl.js";

/** Towards integers: cut off, saturating, 0 for NaN; spelled out, as devices differ beyond the range. */
const conversions: Readonly<Record<string, string>> = {
  "f32 i32":
    "select(select(i32(a), select(-2147483647 - 1, 2147483647, a > 0.0), abs(a) >= 2147483648.0), 0, is_nan(a))",
  "f32 u32": "select(select(u32(max(a, 0.0)), 4294967295u, a >= 4294967296.0), 0u, is_nan(a))",
  "i32 f32": "f32(a)",
  "u32 f32": "f32(a)",
  "i32 u32": "u32(max(a, 0))",
  "u32 i32": "i32(min(a, 2147483647u))",
};

const casts = variants((way: string) => {
  const [from, to] = way.split(" ") as [DType, DType];
  const shaders = elementwise({
    name: `cast-${from}-${to}`,
    types: [from],
    result: to,
    expression: conversions[way],
    functions: from === "f32" ? isNan : "",
  });
  return shaders(1);
});

export const cast =
  (engine: Engine): Kernels["cast"] =>
  ([x], [y]) => {
    const shaders: Elementwise = x.dtype === y.dtype ? copy : () => casts(`${x.dtype} ${y.dtype}`);
    broadcast(engine, shaders, y, [x]);
  };
