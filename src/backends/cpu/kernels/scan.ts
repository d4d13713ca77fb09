// Running sums along one axis: y[i] = x[0] + ... + x[i], without x[i] itself when exclusive.
import { sizeOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { elements } from "../read.js";

export const scan: Kernel<"scan", void> = ([x], [y], { axis, exclusive }) => {
  const length = x.shape[axis];
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const from = elements(x);
  const to = elements(y);
  const integer = x.dtype !== "f32";
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      let sum = 0;
      for (let at = o * length * inner + i, end = at + length * inner; at < end; at += inner) {
        const before = sum;
        sum += from[at];
        if (integer) sum |= 0;
        to[at] = exclusive ? before : sum;
      }
    }
  }
};
