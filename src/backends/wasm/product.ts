// The launches of a dense product C = A B, for operands stored either way round.
import { GEMM, PACK, PACK_DECODED } from "./codes.js";
import { perTile, type Engine } from "./engine.js";
import { BLOCK_COLUMNS, BLOCK_ROWS, DEPTH } from "./layout.js";

/** One operand, or the result: address, and bytes between rows, between columns, between the matrices of a batch. */
export interface Plane {
  readonly at: number;
  readonly row: number;
  readonly column: number;
  readonly batch: number;
}

/** A second operand [columns, k] that is packed by a scheme: how commands describe it. */
export interface PackedPlane {
  readonly words: readonly number[];
}

export interface Sizes {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  /** Length of the sums. */
  readonly k: number;
}

/** Of C, that one tile computes. */
const TILE_ROWS = 11 * BLOCK_ROWS;
const TILE_COLUMNS = 64 * BLOCK_COLUMNS;
/** Columns of B that are packed at a time take at most this much memory. */
const MAX_PACKED_BYTES = 2 ** 25;

const panelBytesOf = (k: number): number => Math.max(1, k) * BLOCK_COLUMNS * 4;
const panelsAtOnceOf = ({ batch, k }: Sizes): number =>
  Math.max(TILE_COLUMNS / BLOCK_COLUMNS, Math.floor(MAX_PACKED_BYTES / (panelBytesOf(k) * batch)));
const threadBytesOf = (b: Plane | PackedPlane, k: number): number =>
  Math.max(4 * (TILE_ROWS * DEPTH + BLOCK_ROWS * BLOCK_COLUMNS), "words" in b ? panelBytesOf(k) : 0);

/** Scratch memory for {@link product}: packed columns of B, then what threads need. */
export function workBytes(
  engine: Engine,
  b: Plane | PackedPlane,
  sizes: Sizes,
): readonly [packed: number, threads: number] {
  const { batch, columns, k } = sizes;
  const panels = Math.min(Math.ceil(columns / BLOCK_COLUMNS), panelsAtOnceOf(sizes));
  return [panels * panelBytesOf(k) * batch, threadBytesOf(b, k) * engine.threads];
}

/** `bias`: the address of one number per column, or 0. The rows of C are adjacent numbers. `work`: addresses of {@link workBytes}. */
export function product(
  engine: Engine,
  a: Plane,
  b: Plane | PackedPlane,
  c: Plane,
  sizes: Sizes,
  bias: number,
  work: readonly number[] = engine.scratch(...workBytes(engine, b, sizes)),
): void {
  const { batch, rows, columns, k } = sizes;
  if (batch * rows * columns === 0) return;
  const [packed, scratch] = work;
  const panels = Math.ceil(columns / BLOCK_COLUMNS);
  const panelsAtOnce = panelsAtOnceOf(sizes);
  const threadBytes = threadBytesOf(b, k);
  for (let first = 0; first < panels; first += panelsAtOnce) {
    const column = first * BLOCK_COLUMNS;
    const count = Math.min(columns - column, panelsAtOnce * BLOCK_COLUMNS);
    const perPack = perTile(Math.ceil(count / BLOCK_COLUMNS), k * BLOCK_COLUMNS);
    const packs = Math.ceil(Math.ceil(count / BLOCK_COLUMNS) / perPack);
    if ("words" in b) {
      const words = [...b.words, packed, column, count, k, perPack, scratch, threadBytes];
      engine.launch(PACK_DECODED, packs, words);
    } else {
      const words = [b.at + column * b.column, packed, count, k, b.column, b.row, b.batch, perPack, packs];
      engine.launch(PACK, packs * batch, words);
    }
    const blocks = Math.ceil(rows / TILE_ROWS) * Math.ceil(count / TILE_COLUMNS);
    const words = [
      a.at,
      packed,
      c.at + column * 4,
      rows,
      count,
      k,
      a.row,
      a.column,
      c.row,
      TILE_ROWS,
      TILE_COLUMNS,
      a.batch,
      c.batch,
    ];
    engine.launch(GEMM, blocks * batch, [...words, scratch, threadBytes, bias === 0 ? 0 : bias + column * 4]);
  }
}
