// y = the window of x that begins at `starts` and has y's shape.
import { stridesOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { copyStrided } from "../nest.js";
import { words } from "../read.js";

export const slice: Kernel<"slice", void> = ([x], [y], { starts }) => {
  const strides = stridesOf(x.shape);
  const at = starts.reduce((sum, start, axis) => sum + start * strides[axis], 0);
  copyStrided(y.shape, words(x), at, strides, words(y), 0, stridesOf(y.shape));
};
