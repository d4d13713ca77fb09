// gatherRows: rows of plain tables of every type and of packed ones; rows that do not exist give zeros.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { gatherRows } from "../../ops/gather-rows.js";
import { anyType, anyWords, draw, extent, few, lead, rowIndices, type DrawnCall } from "../arbitraries.js";
import { packedOperand, storedAs } from "../packings.js";

export const gatherRowsCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw(
    { count: few, inner: lead, width: extent, rows: lead, dtype: anyType, stored: storedAs, smooth: fc.boolean() },
    ({ count, inner, width, rows, dtype, stored, smooth }, random) => {
      const shape = [count, ...inner, width];
      const finite = smooth || accuracy === "wgsl";
      const table = stored ? packedOperand(random, shape, stored) : anyWords(random, shape, dtype, finite);
      return {
        inputs: [table, rowIndices(random, rows, count)],
        run: ([table, rows]) => [gatherRows(table, rows)],
        params: !stored && dtype === "f32" && finite ? [0] : [],
        smooth: true,
      };
    },
  );
