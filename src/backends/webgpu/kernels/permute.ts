// Axis j of y is axis axes[j] of x.
import { stridesOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { copy, strided, whole } from "../strided.js";

export const permute =
  (engine: Engine): Kernels["permute"] =>
  ([x], [y], { axes }) => {
    const strides = stridesOf(x.shape);
    strided(engine, copy, y.shape, whole(y), [{ view: x, strides: axes.map((axis) => strides[axis]) }]);
  };
