// Axis i of y is axis axes[i] of x.
import { stridesOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { copyStrided } from "../nest.js";
import { words } from "../read.js";

export const permute: Kernel<"permute", void> = ([x], [y], { axes }) => {
  const strides = stridesOf(x.shape);
  copyStrided(
    y.shape,
    words(x),
    0,
    axes.map((axis) => strides[axis]),
    words(y),
    0,
    stridesOf(y.shape),
  );
};
