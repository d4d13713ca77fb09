// permute: any order of up to four axes; bits are moved as they are.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { permute } from "../../ops/permute.js";
import { anyType, anyWords, draw, shapes, shuffled, type DrawnCall } from "../arbitraries.js";

export const permuteCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType, smooth: fc.boolean() }, ({ shape, dtype, smooth }, random) => {
    const axes = [...shuffled(random, shape.length)];
    const finite = smooth || accuracy === "wgsl";
    return {
      inputs: [anyWords(random, shape, dtype, finite)],
      run: ([x]) => [permute(x, axes)],
      params: dtype === "f32" && finite ? [0] : [],
      smooth: true,
    };
  });
