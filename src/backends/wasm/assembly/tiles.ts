// From a command's code to the code that runs one tile of it.
import * as codes from "../codes";
import { attentionTile, mergeTile } from "./attention";
import { attentionGradTile, meanTile, poolTile } from "./attention-grad";
import { gemmTile, packTile } from "./gemm";
import { appendTile, qkNormRopeTile, ropeTile } from "./turn";

export function tile(command: usize, index: u32, thread: u32): void {
  switch (load<u32>(command)) {
    case codes.PACK:
      return packTile(command, index);
    case codes.GEMM:
      return gemmTile(command, index, thread);
    case codes.ROPE:
      return ropeTile(command, index);
    case codes.QK_NORM_ROPE:
      return qkNormRopeTile(command, index);
    case codes.APPEND_KV:
      return appendTile(command, index);
    case codes.ATTENTION:
      return attentionTile(command, index, thread);
    case codes.ATTENTION_MERGE:
      return mergeTile(command, index, thread);
    case codes.ATTENTION_MEANS:
      return meanTile(command, index);
    case codes.ATTENTION_GRAD_QUERIES:
      return attentionGradTile(command, index, thread, true);
    case codes.ATTENTION_GRAD_KEYS:
      return attentionGradTile(command, index, thread, false);
    case codes.ATTENTION_POOL:
      return poolTile(command, index);
    default:
      unreachable();
  }
}
