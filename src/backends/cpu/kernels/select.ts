// y = condition ? a : b, elementwise with broadcasting; any non-zero condition counts.
import { stridesOf } from "../../../core/shape.js";
import type { Kernel } from "../../backend.js";
import { broadcastStrides } from "../../loops.js";
import { forEachRun } from "../nest.js";
import { words } from "../read.js";

export const select: Kernel<"select", void> = ([condition, a, b], [y]) => {
  const [cs, as, bs, ys] = [words(condition), words(a), words(b), words(y)];
  const strides = [...[condition, a, b].map((view) => broadcastStrides(view.shape, y.shape)), stridesOf(y.shape)];
  forEachRun(y.shape, strides, ([cAt, aAt, bAt, yAt], count, [cStep, aStep, bStep, yStep]) => {
    for (let i = 0; i < count; i++) {
      ys[yAt + i * yStep] = cs[cAt + i * cStep] !== 0 ? as[aAt + i * aStep] : bs[bAt + i * bStep];
    }
  });
};
