// From a command's code to the code that runs one tile of it.
import * as codes from "../codes";
import { columnSumsTile, gemmTile, packTile, rowsTile } from "./gemm";

export function tile(command: usize, index: u32, thread: u32): void {
  switch (load<u32>(command)) {
    case codes.PACK:
      return packTile(command, index);
    case codes.GEMM:
      return gemmTile(command, index, thread);
    case codes.GEMM_ROWS:
      return rowsTile(command, index);
    case codes.COLUMN_SUMS:
      return columnSumsTile(command, index);
    default:
      unreachable();
  }
}
