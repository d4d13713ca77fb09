// The launches of a dense product C = A B, for operands stored either way round.
import { GEMM, PACK, PACK_DECODED } from "./codes.js";
import { perTile, type Engine } from "./engine.js";

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

/** A multiple of the 6 rows of a packed block. */
const BLOCK_ROWS = 66;
const BLOCK_COLUMNS = 512;
const DEPTH = 512;
const PANEL = 8;
/** Columns of B that are packed at a time take at most this much memory. */
const MAX_PACKED_BYTES = 2 ** 25;

/** `bias`: the address of one number per column, or 0. The rows of C are adjacent numbers. */
export function product(
  engine: Engine,
  a: Plane,
  b: Plane | PackedPlane,
  c: Plane,
  { batch, rows, columns, k }: Sizes,
  bias: number,
): void {
  if (batch * rows * columns === 0) return;
  const panelBytes = Math.max(1, k) * PANEL * 4;
  const panels = Math.ceil(columns / PANEL);
  const panelsAtOnce = Math.max(BLOCK_COLUMNS / PANEL, Math.floor(MAX_PACKED_BYTES / (panelBytes * batch)));
  const threadBytes = Math.max(BLOCK_ROWS * DEPTH * 4 + PANEL * 6 * 4, "words" in b ? panelBytes : 0);
  const [packed, scratch] = engine.scratch(
    Math.min(panels, panelsAtOnce) * panelBytes * batch,
    threadBytes * engine.threads,
  );
  for (let first = 0; first < panels; first += panelsAtOnce) {
    const column = first * PANEL;
    const count = Math.min(columns - column, panelsAtOnce * PANEL);
    const perPack = perTile(Math.ceil(count / PANEL), k * PANEL);
    const packs = Math.ceil(Math.ceil(count / PANEL) / perPack);
    if ("words" in b) {
      const words = [...b.words, packed, column, count, k, perPack, scratch, threadBytes];
      engine.launch(PACK_DECODED, packs, words);
    } else {
      const words = [b.at + column * b.column, packed, count, k, b.column, b.row, b.batch, perPack, packs];
      engine.launch(PACK, packs * batch, words);
    }
    const blocks = Math.ceil(rows / BLOCK_ROWS) * Math.ceil(count / BLOCK_COLUMNS);
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
      BLOCK_ROWS,
      BLOCK_COLUMNS,
      a.batch,
      c.batch,
    ];
    engine.launch(GEMM, blocks * batch, [...words, scratch, threadBytes, bias === 0 ? 0 : bias + column * 4]);
  }
}
