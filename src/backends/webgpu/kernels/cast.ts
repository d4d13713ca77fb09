// The same numbers as another type.
import type { DType } from "../../../core/dtype.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
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

const casts = new Map<string, Elementwise>(
  Object.entries(conversions).map(([way, expression]) => {
    const [from, to] = way.split(" ") as [DType, DType];
    const functions = from === "f32" ? isNan : "";
    return [way, elementwise({ name: `cast-${from}-${to}`, types: [from], result: to, expression, functions })];
  }),
);

export const cast =
  (engine: Engine): Kernels["cast"] =>
  ([x], [y]) =>
    broadcast(engine, casts.get(`${x.dtype} ${y.dtype}`) ?? copy, y, [x]);
