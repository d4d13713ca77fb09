// The launches that encode and decode rows of q8_0, the one scheme that this backend lists, in plain order.
import { rowsOf, type Shape } from "../../core/shape.js";
import type { PackedView } from "../../core/view.js";
import { GATHER_PACKED, QUANTIZE } from "./codes.js";
import { perTile, type Engine } from "./engine.js";

/** Numbers encoded at a time: whole words of codes and of scales (assembly/packed.ts). */
const PIECE = 2048;
const SCRATCH_BYTES = 192;

/** Words of codes and of scales in a row of `width` numbers. */
function wordsPerRow(width: number): readonly [codes: number, scales: number] {
  return [Math.ceil(width / 4), Math.ceil(Math.ceil(width / 32) / 2)];
}

/** Which rows are decoded: each of `pieces` packed ones, out of `count` or, where indices are given, by these out of `tableRows`. */
export interface Wanted {
  readonly tableRows: number;
  readonly pieces: number;
  readonly count: number;
  /** Their address, or 0. */
  readonly indices: number;
}

/** Decodes rows to `y`, an address. An index that is no row gives zeros. */
export function decodeRows(
  engine: Engine,
  { parts: [codes, scales], shape }: PackedView,
  { tableRows, pieces, count, indices }: Wanted,
  y: number,
): void {
  const { width } = rowsOf(shape);
  const items = count * pieces;
  if (items * width === 0) return;
  const tile = perTile(items, 4 * width);
  engine.launch(GATHER_PACKED, Math.ceil(items / tile), [
    engine.at(codes),
    engine.at(scales),
    tableRows,
    indices,
    count,
    y,
    pieces,
    width,
    ...wordsPerRow(width),
    tile,
  ]);
}

/** Encodes `x`, the address of numbers of `shape`. */
export function encodeRows(engine: Engine, x: number, shape: Shape, { parts: [codes, scales] }: PackedView): void {
  const { rows, width } = rowsOf(shape);
  const items = rows * Math.ceil(width / PIECE);
  if (items === 0) return;
  const [scratch] = engine.scratch(SCRATCH_BYTES * engine.threads);
  const tile = perTile(items, 8 * Math.min(width, PIECE));
  engine.launch(QUANTIZE, Math.ceil(items / tile), [
    x,
    engine.at(codes),
    engine.at(scales),
    rows,
    width,
    ...wordsPerRow(width),
    tile,
    scratch,
    SCRATCH_BYTES,
  ]);
}
