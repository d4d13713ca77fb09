// Numbers from nothing, and numbers of another type.
import type { Kernel } from "../../../backends/backend.js";
import type { DType } from "../../../core/dtype.js";
import { rowsOf, sizeOf } from "../../../core/shape.js";
import { blank, load, store } from "../cells.js";
import type { Profile } from "../profile.js";
import { rounded, unlimited } from "../rounding.js";

/**
 * y[i] = value + step * i. An attribute is a number of the host: a kernel may take it as it is or rounded to f32, so what the rounding
 * moves belongs to the bound.
 */
export const fill =
  (profile: Profile): Kernel<"fill", void> =>
  (_, [y], { value, step }) => {
    const { width } = rowsOf(y.shape);
    const out = blank(sizeOf(y.shape));
    const float = y.dtype === "f32";
    const given = float ? slip(value) : 0;
    const perStep = float ? slip(step) : 0;
    for (let i = 0; i < out.value.length; i++) {
      const turns = i % width;
      const number = value + step * turns;
      out.value[i] = number;
      if (!float) continue;
      const exact = given === 0 && perStep === 0 && Math.fround(number) === number;
      const spread = given + perStep * turns;
      if (step === 0) out.bound[i] = given;
      else if (!exact) out.bound[i] = rounded(profile, number, spread + profile.unit * Math.abs(step * turns));
    }
    store(y, out);
  };

/** How far f32 lies from a number. */
function slip(value: number): number {
  return Number.isFinite(value) ? Math.abs(value - Math.fround(value)) : 0;
}

const ranges: Readonly<Record<Exclude<DType, "f32">, readonly [least: number, greatest: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};

/** Towards integers: cut off, saturated, NaN to 0; the bound is the distance between the integers that the operand's bound reaches. */
export const cast =
  (profile: Profile): Kernel<"cast", void> =>
  ([x], [y]) => {
    const { value, bound } = load(x, profile);
    const out = blank(value.length);
    for (let i = 0; i < value.length; i++) {
      const [number, spread] = [value[i], bound[i]];
      if (y.dtype === "f32") {
        out.value[i] = number;
        const moved = spread === 0 && (x.dtype === "f32" || Math.fround(number) === number);
        out.bound[i] = moved ? 0 : x.dtype === "f32" ? spread : rounded(profile, number, spread);
        continue;
      }
      const [least, greatest] = ranges[y.dtype];
      const integer = (of: number): number =>
        Number.isNaN(of) ? 0 : Math.trunc(Math.min(Math.max(of, least), greatest));
      out.value[i] = integer(number);
      if (!Number.isFinite(number)) out.bound[i] = unlimited(profile, spread === 0);
      else if (spread > 0) {
        out.bound[i] = Math.max(integer(number + spread) - out.value[i], out.value[i] - integer(number - spread));
      }
    }
    store(y, out);
  };
