// From a command's code to the code that runs one tile of it.
import * as codes from "../codes";
import { combineTile } from "./combine";
import { groupGatedTile, groupLinearTile, slotDownTile, slotGatedTile, slotLinearTile } from "./experts";
import { groupInputGradTile, groupWeightGradTile } from "./experts-grad";
import { gemmTile, packTile } from "./gemm";
import { groupTile, rankTile } from "./group";
import { routeTile } from "./route";

export function tile(command: usize, index: u32, thread: u32): void {
  switch (load<u32>(command)) {
    case codes.PACK:
      return packTile(command, index);
    case codes.GEMM:
      return gemmTile(command, index, thread);
    case codes.GROUP:
      return groupTile(command);
    case codes.RANK:
      return rankTile(command, index);
    case codes.COMBINE:
      return combineTile(command, index);
    case codes.SLOT_LINEAR:
      return slotLinearTile(command, index);
    case codes.SLOT_GATED:
      return slotGatedTile(command, index);
    case codes.SLOT_DOWN:
      return slotDownTile(command, index);
    case codes.GROUP_LINEAR:
      return groupLinearTile(command, index);
    case codes.GROUP_GATED:
      return groupGatedTile(command, index, thread);
    case codes.GROUP_INPUT_GRAD:
      return groupInputGradTile(command, index, thread);
    case codes.GROUP_WEIGHT_GRAD:
      return groupWeightGradTile(command, index, thread);
    case codes.ROUTE:
      return routeTile(command, index, thread);
    default:
      unreachable();
  }
}
