// WGSL that turns heads by their token's row of the table, for the kernels that do: a lane takes a pair that turns, or a component that does not.
import type { RopeLayout } from "../backend.js";
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";

/** Params of the {@link rotation}, for which {@link rotationNumbers} has the numbers. */
export const rotationParams: Readonly<Record<string, DType>> = {
  size: "u32",
  pairs: "u32",
  step: "u32",
  gap: "u32",
  table_rows: "u32",
};

/** @param size of a head @param table f32 [rows, r] */
export function rotationNumbers(size: number, { shape: [rows, turned] }: View, layout: RopeLayout): readonly number[] {
  const pairs = turned / 2;
  return layout === "half" ? [size, pairs, 1, pairs, rows] : [size, pairs, 2, 1, rows];
}

/**
 * With the windows `table` and `rows`: a head has `shares()` shares of work. Share i below `params.pairs` is the pair at `pair_at(i)` and
 * params.gap behind it, which `turned` turns by `angle(token, i)`; the others are components that stay, at `still_at(i)`.
 */
export const rotation = `
fn shares() -> u32 { return params.size - params.pairs; }
fn pair_at(share: u32) -> u32 { return share * params.step; }
fn still_at(share: u32) -> u32 { return share + params.pairs; }
fn angle(token: u32, pair: u32) -> vec2f {
  let row = rows_at(token);
  if (row < 0 || u32(row) >= params.table_rows) { return vec2f(); }
  let at = u32(row) * 2u * params.pairs + pair;
  return vec2f(table_at(at), table_at(at + params.pairs));
}
fn turned(x: vec2f, cos_sin: vec2f) -> vec2f {
  return vec2f(x.x * cos_sin.x - x.y * cos_sin.y, x.y * cos_sin.x + x.x * cos_sin.y);
}`;
