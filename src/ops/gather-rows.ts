// Rows of a table by index: embeddings, tokens of an expert, keys of a cache.
import { ShapeError } from "../core/errors.js";
import { rowsOf, showShape } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { add, mul } from "./binary.js";
import { decodeParts } from "./decode-parts.js";
import { expectDType } from "./expect.js";
import { arange } from "./fill.js";
import { reshape } from "./reshape.js";

const def: OpDef<"gatherRows"> = {
  name: "gatherRows",
  infer([table, rows]) {
    expectDType("gatherRows", "rows", rows, "i32");
    if (table.shape.length === 0)
      throw new ShapeError(`gatherRows: table must have at least one axis, got ${showShape(table.shape)}`);
    if (table.shape.length === 1 && !(table instanceof Tensor))
      throw new ShapeError(
        `gatherRows: a packed table must have at least two axes, got ${showShape(table.shape)}; its last axis is stored together`,
      );
    return [{ shape: [...rows.shape, ...table.shape.slice(1)], dtype: table instanceof Tensor ? table.dtype : "f32" }];
  },
};

const gather = (table: Tensor | PackedTensor, rows: Tensor): Tensor => dispatch(def, [table, rows], {})[0];

/**
 * y[i...] = table[rows[i...]]; a row of -1 or out of range gives zeros.
 * @param table [N, ...], plain, or packed with at least two axes @param rows i32, any shape @returns rows.shape followed by the table's other axes
 */
export function gatherRows(table: Tensor | PackedTensor, rows: Tensor): Tensor {
  if (table instanceof Tensor || table.scheme.name in table.backend.features.schemes) return gather(table, rows);
  const [{ shape }] = def.infer([table, rows], {});
  // A row of the table is `height` rows of each part.
  const height = rowsOf(table.shape.slice(1)).rows;
  return scope(() => {
    const inner = add(mul(reshape(rows, [rows.size, 1]), height), arange(table.backend, height));
    return reshape(decodeParts(table, reshape(inner, [inner.size]), gather), shape);
  });
}
