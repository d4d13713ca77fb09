// Rows by index: taken from a table, plain or packed, and put or added into one. An index that is no row is as good as none.
import { F32 } from "../codes";
import { addRun } from "./binary";
import { word } from "./command";
import { copyWords, fillWords } from "./move";
import { decodeRow } from "./packed";
import { MATRIX_WORDS } from "./packed-matrix";

/** Words: table, its rows, indices, how many, y, words of a row; indices and columns per tile, tiles across. */
export function gatherTile(command: usize, tile: u32): void {
  const table = word(command, 0) as usize, tableRows = word(command, 1), count = word(command, 3), width = word(command, 5);
  const perTile = word(command, 6), columns = word(command, 7), across = word(command, 8);
  const down = tile / across;
  const column = (tile - down * across) * columns;
  const n = min(columns, width - column);
  const rowBytes = (width as usize) << 2;
  let y = (word(command, 4) as usize) + down * perTile * rowBytes + (column << 2);
  let index = (word(command, 2) as usize) + ((down * perTile) << 2);
  for (let left = min(perTile, count - down * perTile); left != 0; left--) {
    const row = load<u32>(index);
    if (row < tableRows) copyWords(y, table + row * rowBytes + (column << 2), n);
    else fillWords(y, 0, n);
    y += rowBytes;
    index += 4;
  }
}

/**
 * A row of the table may be several packed rows. Words: the matrix; rows of the table, indices or 0 for all rows in order, how many, y;
 * packed rows in a row of the table, numbers in a packed row, packed rows per tile.
 */
export function gatherPackedTile(command: usize, tile: u32): void {
  const own = MATRIX_WORDS, tableRows = word(command, own), indices = word(command, own + 1) as usize;
  const pieces = word(command, own + 4), width = word(command, own + 5), perTile = word(command, own + 6);
  const rowBytes = (width as usize) << 2;
  const first = tile * perTile;
  const last = min(word(command, own + 2) * pieces, first + perTile);
  let y = (word(command, own + 3) as usize) + first * rowBytes;
  for (let item = first; item < last; item++) {
    const slot = item / pieces;
    const row = indices != 0 ? load<u32>(indices + (slot << 2)) : slot;
    if (row < tableRows) {
      decodeRow(command, 0, row * pieces + (item - slot * pieces), y, width);
    } else {
      fillWords(y, 0, width);
    }
    y += rowBytes;
  }
}

/**
 * A tile owns columns of the target and takes the rows of x in order, so the last of equal ones stays and sums have one order.
 * Words: target, its rows, indices, how many, x, words of a row, columns per tile; whether to add, type.
 */
export function scatterTile(command: usize, tile: u32): void {
  const target = word(command, 0) as usize, targetRows = word(command, 1), width = word(command, 5), columns = word(command, 6);
  const add = word(command, 7) != 0, float = word(command, 8) == F32;
  const column = tile * columns;
  const n = min(columns, width - column);
  const rowBytes = (width as usize) << 2;
  let x = (word(command, 4) as usize) + (column << 2);
  let index = word(command, 2) as usize;
  for (let left = word(command, 3); left != 0; left--) {
    const row = load<u32>(index);
    if (row < targetRows) {
      const to = target + row * rowBytes + (column << 2);
      if (!add) copyWords(to, x, n);
      else if (float) addRun<f32>(to, to, 16, x, 16, n);
      else addRun<i32>(to, to, 16, x, 16, n);
    }
    x += rowBytes;
    index += 4;
  }
}
