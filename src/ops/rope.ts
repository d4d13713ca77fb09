// Rotary position embedding by a table of cosines and sines.
import type { RopeLayout } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { showShape, withLastAxis } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, mul, sub } from "./binary.js";
import { concat } from "./concat.js";
import { expectDType, expectRank, expectShape } from "./expect.js";
import { gatherRows } from "./gather-rows.js";
import { reshape } from "./reshape.js";
import { slice } from "./slice.js";
import { neg } from "./unary.js";

const def: OpDef<"rope"> = {
  name: "rope",
  infer([x, table, rows], { layout }) {
    expectDType("rope", "x", x);
    expectRank("rope", "x", x, 4, "[B, T, H, d]");
    expectTable("rope", table, rows, layout, x.shape.slice(0, 2), x.shape[3]);
    return [{ shape: x.shape }];
  },
  composite([x, table, rows], { layout, inverse }) {
    const [B, T, H, d] = x.shape;
    const pairs = table.shape[1] / 2;
    const turns = reshape(gatherRows(table, rows), [B, T, 1, 2 * pairs]);
    const cos = slice(turns, [0, 0, 0, 0], [B, T, 1, pairs]);
    const sines = slice(turns, [0, 0, 0, pairs], [B, T, 1, pairs]);
    const sin = inverse ? neg(sines) : sines;
    const [first, second] = partners(x, pairs, layout);
    const turned = joined(sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin)), layout);
    const rest = d - 2 * pairs;
    return [rest === 0 ? turned : concat([turned, slice(x, [0, 0, 0, 2 * pairs], [B, T, H, rest])], 3)];
  },
  // A rotation is transposed by turning back; tables are made on the host and carry no gradient.
  vjp: ([, table, rows], _, [dy], { layout, inverse }, [wantsX]) => [
    dy && wantsX ? rope(dy, table, rows, { layout, inverse: !inverse }) : undefined,
    undefined,
    undefined,
  ],
};

/** The components that turn together, f32 [B, T, H, r/2] each. */
function partners(x: Tensor, pairs: number, layout: RopeLayout): readonly [first: Tensor, second: Tensor] {
  const [B, T, H] = x.shape;
  const half = [B, T, H, pairs];
  if (layout === "half") return [slice(x, [0, 0, 0, 0], half), slice(x, [0, 0, 0, pairs], half)];
  const paired = reshape(slice(x, [0, 0, 0, 0], [B, T, H, 2 * pairs]), [B, T, H, pairs, 2]);
  const one = (at: number): Tensor => reshape(slice(paired, [0, 0, 0, 0, at], [B, T, H, pairs, 1]), half);
  return [one(0), one(1)];
}

/** Undoes {@link partners}: f32 [B, T, H, r]. */
function joined(first: Tensor, second: Tensor, layout: RopeLayout): Tensor {
  if (layout === "half") return concat([first, second], 3);
  const single = [...first.shape, 1];
  const paired = concat([reshape(first, single), reshape(second, single)], 4);
  return reshape(paired, withLastAxis(first.shape, 2 * first.shape[3]));
}

/** The checks that rope and qkNormRope share. */
export function expectTable(
  op: string,
  table: Tensor,
  rows: Tensor,
  layout: RopeLayout,
  tokens: readonly number[],
  d: number,
): void {
  if (layout !== "half" && layout !== "interleaved") {
    throw new ConfigError(`${op}: layout must be "half" or "interleaved", got ${JSON.stringify(layout)}`);
  }
  expectDType(op, "table", table);
  expectRank(op, "table", table, 2, "[rows, r]");
  const r = table.shape[1];
  if (r % 2 !== 0 || r > d) {
    throw new ShapeError(
      `${op}: table must have r/2 cosines and r/2 sines a row, r even and at most the head's ${d}, got ${showShape(table.shape)}`,
    );
  }
  expectDType(op, "rows", rows, "i32");
  expectShape(op, "rows", rows, tokens, "one row of the table per token");
}

export interface TurnOptions {
  /** "half" unless given: components (i, i + r/2) turn together. "interleaved": (2i, 2i + 1). */
  readonly layout?: RopeLayout;
  /** Turns back, by negated sines. */
  readonly inverse?: boolean;
}

/**
 * Turns each pair of the first r components of a head: (a, b) -> (a cos - b sin, b cos + a sin), with the cosines and sines of the table's
 * row `rows[b, t]` (Su et al. 2021); the other d - r are copied. A row out of range has cosines and sines of 0.
 * @param x f32 [B, T, H, d] @param table f32 [rows, r]: r/2 cosines, then r/2 sines @param rows i32 [B, T] @returns f32 [B, T, H, d]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function rope(
  x: Tensor,
  table: Tensor,
  rows: Tensor,
  { layout = "half", inverse = false }: TurnOptions = {},
): Tensor {
  return dispatch(def, [x, table, rows], { layout, inverse })[0];
}
