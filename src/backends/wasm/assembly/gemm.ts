// Matrix products, C = A B: B is packed once (PACK), then blocks of C are computed, each packing its own rows of A (GEMM).
import * as layout from "../layout";
import { word } from "./command";
import { dotRow, dotRows } from "./dot";
import { COLUMNS, PACKED_ROWS, packedBlock } from "./micro";
import { packPanel } from "./pack";

const DEPTH: u32 = layout.DEPTH;

/** Words: from, to, columns, k, bytes between columns, between steps of k, between batches; panels per tile, tiles per batch. */
export function packTile(command: usize, tile: u32): void {
  const columns = word(command, 2),
    k = word(command, 3);
  const perTile = word(command, 7),
    tiles = word(command, 8);
  const batch = tile / tiles;
  const columnStride = word(command, 4) as usize,
    stride = word(command, 5) as usize;
  const panels = (columns + COLUMNS - 1) / COLUMNS;
  const first = (tile % tiles) * perTile;
  const last = min(panels, first + perTile);
  const size = (k as usize) * COLUMNS * 4;
  const from = (word(command, 0) as usize) + (batch as usize) * word(command, 6);
  const to = (word(command, 1) as usize) + (batch as usize) * panels * size;
  for (let p = first; p < last; p++) {
    const column = p * COLUMNS;
    packPanel(
      from + column * columnStride,
      to + p * size,
      COLUMNS,
      min(COLUMNS, columns - column),
      k,
      columnStride,
      stride,
    );
  }
}

/**
 * Words: A, packed B, C, M, N, k, bytes of A between rows, between steps of k, bytes between rows of C, rows and columns of a block, bytes
 * between batches of A and of C, scratch of the threads and bytes of it per thread, bias or 0.
 */
export function gemmTile(command: usize, tile: u32, thread: u32): void {
  const rows = word(command, 3),
    columns = word(command, 4),
    k = word(command, 5);
  const aRow = word(command, 6) as usize,
    aStep = word(command, 7) as usize,
    cRow = word(command, 8) as usize;
  const blockRows = word(command, 9),
    blockColumns = word(command, 10);
  const across = (columns + blockColumns - 1) / blockColumns;
  const down = (rows + blockRows - 1) / blockRows;
  const batch = tile / (across * down);
  const place = tile % (across * down);
  const row = (place / across) * blockRows,
    column = (place % across) * blockColumns;
  const a = (word(command, 0) as usize) + (batch as usize) * word(command, 11) + row * aRow;
  const panels = (columns + COLUMNS - 1) / COLUMNS;
  const b = (word(command, 1) as usize) + ((batch as usize) * panels + column / COLUMNS) * k * COLUMNS * 4;
  const c = (word(command, 2) as usize) + (batch as usize) * word(command, 12) + row * cRow + ((column as usize) << 2);
  const scratch = (word(command, 13) as usize) + (thread as usize) * word(command, 14);
  const bias = word(command, 15) as usize;
  block(
    a,
    aRow,
    aStep,
    b,
    c,
    cRow,
    min(blockRows, rows - row),
    min(blockColumns, columns - column),
    k,
    scratch,
    bias == 0 ? 0 : bias + (column << 2),
  );
}

function block(
  a: usize,
  aRow: usize,
  aStep: usize,
  b: usize,
  c: usize,
  cRow: usize,
  rows: u32,
  columns: u32,
  k: u32,
  scratch: usize,
  bias: usize,
): void {
  if (bias != 0) {
    for (let m: u32 = 0; m < rows; m++) memory.copy(c + m * cRow, bias, columns << 2);
  }
  const edge = scratch;
  const packed = scratch + PACKED_ROWS * COLUMNS * 4;
  const panelBytes = (k as usize) * COLUMNS * 4;
  let from: u32 = 0;
  do {
    const depth = min(DEPTH, k - from);
    const add = from != 0 || bias != 0;
    for (let m: u32 = 0; m < rows; m += PACKED_ROWS) {
      packPanel(a + m * aRow + from * aStep, packed + m * depth * 4, PACKED_ROWS, min(PACKED_ROWS, rows - m), depth, aRow, aStep);
    }
    for (let n: u32 = 0; n < columns; n += COLUMNS) {
      const panel = b + (n / COLUMNS) * panelBytes + (from as usize) * COLUMNS * 4;
      const width = min(COLUMNS, columns - n);
      for (let m: u32 = 0; m < rows; m += PACKED_ROWS) {
        const height = min(PACKED_ROWS, rows - m);
        const to = c + m * cRow + (n << 2);
        const left = packed + m * depth * 4;
        if (width == COLUMNS && height == PACKED_ROWS) {
          packedBlock(left, panel, depth, to, cRow, add);
        } else {
          packedBlock(left, panel, depth, edge, COLUMNS * 4, false);
          storeEdge(edge, to, cRow, height, width, add);
        }
      }
    }
    from += depth;
  } while (from < k);
}

/** The part of a block [4, 8] that lies inside C. */
export function storeEdge(edge: usize, to: usize, cRow: usize, height: u32, width: u32, add: bool): void {
  for (let m: u32 = 0; m < height; m++) {
    for (let n: u32 = 0; n < width; n++) {
      const at = to + m * cRow + (n << 2);
      const value = load<f32>(edge + ((m * COLUMNS + n) << 2));
      store<f32>(at, add ? load<f32>(at) + value : value);
    }
  }
}

/**
 * Few rows of A against rows of B, nothing packed. Words: A, bytes between its rows, rows; B, bytes between its rows, rows; k; C, bytes between
 * its rows; columns per tile; bias or 0.
 */
export function rowsTile(command: usize, tile: u32): void {
  const rows = word(command, 2),
    columns = word(command, 5),
    k = word(command, 6);
  const bRow = word(command, 4) as usize,
    cRow = word(command, 8) as usize;
  const perTile = word(command, 9);
  const first = tile * perTile;
  const count = min(perTile, columns - first);
  const c = (word(command, 7) as usize) + (first << 2);
  const bias = word(command, 10) as usize;
  const a = word(command, 0) as usize, b = (word(command, 3) as usize) + first * bRow;
  if (rows == 1) dotRow(a, b, bRow, count, k, c);
  else dotRows(a, word(command, 1), rows, b, bRow, count, k, c, cRow);
  if (bias == 0) return;
  for (let m: u32 = 0; m < rows; m++) addRow(c + m * cRow, bias + (first << 2), count);
}

/** to += from, `count` numbers. */
export function addRow(to: usize, from: usize, count: u32): void {
  let i: u32 = 0;
  for (; i + 4 <= count; i += 4)
    v128.store(to + (i << 2), f32x4.add(v128.load(to + (i << 2)), v128.load(from + (i << 2))));
  for (; i < count; i++) store<f32>(to + (i << 2), load<f32>(to + (i << 2)) + load<f32>(from + (i << 2)));
}
