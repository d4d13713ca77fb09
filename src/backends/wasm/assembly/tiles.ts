// From a command's code to the code that runs one tile of it.
import * as codes from "../codes";
import { fillTile, rampTile } from "./fill";
import { gemmTile, packTile } from "./gemm";
import { transposeTile } from "./move";
import { quantizeTile } from "./packed";
import { reduceColumnsTile, reduceRowsTile } from "./reduce";
import { gatherPackedTile, gatherTile, scatterTile } from "./rows";
import { scanColumnsTile, scanOffsetsTile, scanRowsTile } from "./scan";
import { sortTile } from "./sort";
import { stridedTile } from "./strided";
import { topKTile } from "./top-k";

export function tile(command: usize, index: u32, thread: u32): void {
  switch (load<u32>(command)) {
    case codes.PACK:
      return packTile(command, index);
    case codes.GEMM:
      return gemmTile(command, index, thread);
    case codes.FILL:
      return fillTile(command, index);
    case codes.RAMP:
      return rampTile(command, index);
    case codes.STRIDED:
      return stridedTile(command, index, thread);
    case codes.TRANSPOSE:
      return transposeTile(command, index);
    case codes.GATHER:
      return gatherTile(command, index);
    case codes.GATHER_PACKED:
      return gatherPackedTile(command, index);
    case codes.SCATTER:
      return scatterTile(command, index);
    case codes.REDUCE_ROWS:
      return reduceRowsTile(command, index);
    case codes.REDUCE_COLUMNS:
      return reduceColumnsTile(command, index);
    case codes.SCAN_ROWS:
      return scanRowsTile(command, index);
    case codes.SCAN_OFFSETS:
      return scanOffsetsTile(command, index);
    case codes.SCAN_COLUMNS:
      return scanColumnsTile(command, index);
    case codes.TOP_K:
      return topKTile(command, index);
    case codes.SORT:
      return sortTile(command, index, thread);
    case codes.QUANTIZE:
      return quantizeTile(command, index, thread);
    default:
      unreachable();
  }
}
