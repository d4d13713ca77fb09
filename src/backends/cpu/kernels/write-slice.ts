// The window of `into` that begins at `starts` and has x's shape becomes x; the rest keeps its bits.
import { stridesOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { copyStrided } from "../nest.js";
import { words } from "../read.js";

export const writeSlice: Kernel<"writeSlice", void> = ([x], [into], { starts }) => {
  const strides = stridesOf(into.shape);
  const at = starts.reduce((sum, start, axis) => sum + start * strides[axis], 0);
  copyStrided(x.shape, words(x), 0, stridesOf(x.shape), words(into), at, strides);
};
