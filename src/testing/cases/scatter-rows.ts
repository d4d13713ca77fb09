// scatterRows: rows set (the last of equal ones stays) or added; rows that nobody names keep their bits.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { scatterRows } from "../../ops/scatter-rows.js";
import {
  anyType,
  anyWords,
  draw,
  extent,
  few,
  floats,
  lead,
  rowIndices,
  taste,
  type DrawnCall,
} from "../arbitraries.js";

export const scatterRowsCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      count: extent,
      inner: lead,
      rows: fc.tuple(few, few).map(([a, b]) => [a, b]),
      dtype: anyType,
      mode: fc.constantFrom("set" as const, "add" as const),
      taste,
    },
    ({ count, inner, rows, dtype, mode, taste }, random) => {
      const finite = accuracy === "wgsl" || mode === "add";
      const of = (shape: readonly number[]): ReturnType<typeof anyWords> =>
        mode === "add" && dtype === "f32" ? floats(random, shape, taste) : anyWords(random, shape, dtype, finite);
      return {
        inputs: [of([...rows, ...inner]), rowIndices(random, rows, count), of([count, ...inner])],
        run([x, rows, into]) {
          scatterRows(x, rows, into, mode);
          return [into];
        },
        targets: [2],
      };
    },
  );
