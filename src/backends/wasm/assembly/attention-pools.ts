// Rows of pools of which one is packed at least: lists of their numbers become lists of addresses, where the rows lie or where they are decoded
// to. A block of keys is decoded once for all query rows of a tile.
import { PLAIN } from "../codes";
import { roundedUp } from "./attention-blocks";
import { decodeRow } from "./packed";
import { MATRIX_WORDS, codesOf, schemeOf } from "./packed-matrix";

// The matrices, after all other words of the command.
export const K_MATRIX: usize = 26, V_MATRIX: usize = K_MATRIX + MATRIX_WORDS;
/** In place of the number of a row that no pool has. */
export const ABSENT: usize = 0xffffffff;

/** `to`: place for the decoded rows, each of `roundedUp(size)` numbers. */
export function readRows(command: usize, matrix: usize, list: usize, count: u32, size: u32, zeros: usize, to: usize): void {
  const scheme = schemeOf(command, matrix);
  const bytes = (roundedUp(size) as usize) << 2;
  for (const end = list + (count << 2); list < end; list += 4) {
    const row = load<u32>(list) as usize;
    if (row == ABSENT) {
      store<u32>(list, zeros as u32);
    } else if (scheme == PLAIN) {
      store<u32>(list, codesOf(command, matrix, row) as u32);
    } else {
      decodeRow(command, matrix, row, to, size);
      store<u32>(list, to as u32);
      to += bytes;
    }
  }
}
