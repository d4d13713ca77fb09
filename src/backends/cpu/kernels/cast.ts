// The same number in another type; towards integers it is cut off, saturates, and NaN becomes 0.
import type { DType } from "../../../core/dtype.js";
import type { Kernel } from "../../backend.js";
import { elements, words } from "../read.js";

const ranges: Readonly<Record<Exclude<DType, "f32">, readonly [least: number, greatest: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
};

export const cast: Kernel<"cast", void> = ([x], [y]) => {
  if (x.dtype === y.dtype) {
    words(y).set(words(x)); // bits, so that a NaN stays the same one
    return;
  }
  const from = elements(x);
  const to = elements(y);
  if (y.dtype === "f32") {
    for (let i = 0; i < to.length; i++) to[i] = from[i];
    return;
  }
  const [least, greatest] = ranges[y.dtype];
  // Storing into an integer array cuts off the fraction and turns NaN, which min and max keep, into 0.
  for (let i = 0; i < to.length; i++) to[i] = Math.min(Math.max(from[i], least), greatest);
};
