// writeSlice: a box of the target is replaced, the rest keeps its bits.
import type fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { writeSlice } from "../../ops/write-slice.js";
import { anyType, anyWords, draw, shapes, type DrawnCall } from "../arbitraries.js";
import { boxIn } from "./slice.js";

export const writeSliceCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType }, ({ shape, dtype }, random) => {
    const { starts, sizes } = boxIn(random, shape);
    const finite = accuracy === "wgsl";
    return {
      inputs: [anyWords(random, sizes, dtype, finite), anyWords(random, shape, dtype, finite)],
      run([x, into]) {
        writeSlice(x, into, starts);
        return [into];
      },
      targets: [1],
    };
  });
