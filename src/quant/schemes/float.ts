// f16 and bf16 as schemes: a code per element and nothing else.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { f32ToBf16, f32ToF16 } from "./float-codes.js";
import type { Scheme } from "./scheme.js";

export {
  bf16ToF32,
  e4m3ToF32,
  e5m2ToF32,
  e8m0ToF32,
  f16ToF32,
  f32ToBf16,
  f32ToE4m3,
  f32ToE5m2,
  f32ToF16,
} from "./float-codes.js";

function floatScheme(name: "f16" | "bf16", codeOf: (value: number) => number): Scheme {
  return {
    name,
    parts: [{ role: "code", per: "element", bits: 16, as: name }],
    block: 1,
    encode(x, shape) {
      const { rows, width } = rowsOf(shape);
      const codes = new Uint16Array(rows * width);
      for (let i = 0; i < codes.length; i++) codes[i] = codeOf(x[i]);
      return [packBits(codes, 16, rows, width)];
    },
  };
}

export const f16: Scheme = /* @__PURE__ */ floatScheme("f16", f32ToF16);
export const bf16: Scheme = /* @__PURE__ */ floatScheme("bf16", f32ToBf16);
