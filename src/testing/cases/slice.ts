// slice: a box inside a tensor, cut on any axes.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import type { Random } from "../../core/random.js";
import type { Shape } from "../../core/shape.js";
import { slice } from "../../ops/slice.js";
import { anyType, anyWords, draw, shapes, type DrawnCall } from "../arbitraries.js";

/** A box inside `shape`: where it begins and how large it is. */
export function boxIn(random: Random, shape: Shape): { readonly starts: number[]; readonly sizes: number[] } {
  const starts = shape.map((extent) => (random.integer(2) === 0 ? 0 : random.integer(extent + 1)));
  const whole = (): boolean => random.integer(2) === 0;
  return {
    starts,
    sizes: shape.map((extent, axis) => (whole() ? extent - starts[axis] : random.integer(extent - starts[axis] + 1))),
  };
}

export const sliceCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType, smooth: fc.boolean() }, ({ shape, dtype, smooth }, random) => {
    const { starts, sizes } = boxIn(random, shape);
    const finite = smooth || accuracy === "wgsl";
    return {
      inputs: [anyWords(random, shape, dtype, finite)],
      run: ([x]) => [slice(x, starts, sizes)],
      params: dtype === "f32" && finite ? [0] : [],
      smooth: true,
    };
  });
