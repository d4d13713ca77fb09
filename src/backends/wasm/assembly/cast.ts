// Numbers as another type. Towards integers the instructions cut off, saturate and make NaN 0, as the op does.
import { F32, I32 } from "../codes";
import { storePart } from "./move";

/** The two types differ. A step is as in binary.ts. */
export function castRun(from: u32, to: u32, y: usize, x: usize, step: usize, n: u32): void {
  if (from == F32) {
    if (to == I32) castWords<f32, i32>(y, x, step, n);
    else castWords<f32, u32>(y, x, step, n);
  } else if (from == I32) {
    if (to == F32) castWords<i32, f32>(y, x, step, n);
    else castWords<i32, u32>(y, x, step, n);
  } else if (to == F32) {
    castWords<u32, f32>(y, x, step, n);
  } else {
    castWords<u32, i32>(y, x, step, n);
  }
}

function castWords<From, To>(y: usize, x: usize, step: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, castQuad<From, To>(v128.load(x)));
    y += 16;
    x += step;
  }
  storePart(y, castQuad<From, To>(v128.load(x)), n & 3);
}

function castQuad<From, To>(x: v128): v128 {
  if (isFloat<From>()) return isSigned<To>() ? i32x4.trunc_sat_f32x4_s(x) : i32x4.trunc_sat_f32x4_u(x);
  if (isFloat<To>()) return isSigned<From>() ? f32x4.convert_i32x4_s(x) : f32x4.convert_i32x4_u(x);
  // Below 0 the nearest u32 is 0, above the greatest i32 that one.
  return isSigned<To>() ? i32x4.min_u(x, i32x4.splat(0x7fffffff)) : i32x4.max_s(x, i32x4.splat(0));
}
