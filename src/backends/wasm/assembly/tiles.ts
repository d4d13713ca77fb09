// From a command's code to the code that runs one tile of it.
import * as codes from "../codes";
import { adamWTile } from "./adam-w";
import { appendTile } from "./append";
import { attentionTile, mergeTile } from "./attention";
import { attentionGradTile, meanTile, poolTile } from "./attention-grad";
import { combineTile } from "./combine";
import { crossEntropyGradTile, crossEntropyTile } from "./cross-entropy";
import { groupGatedTile, groupLinearTile, slotDownTile, slotGatedTile, slotLinearTile } from "./experts";
import { groupInputGradTile, groupWeightGradTile } from "./experts-grad";
import { fillTile, rampTile } from "./fill";
import { gatherPackedTile, gatherTile, scatterTile } from "./gather-scatter";
import { gemmTile, packTile, rowsTile } from "./gemm";
import { groupTile, rankTile } from "./group";
import { transposeTile } from "./move";
import { addRmsNormTile, rmsNormGradTile, rmsNormTile, sumPartsTile } from "./norm";
import { quantizeTile } from "./packed";
import { roundTile } from "./packed-activations";
import { packDecodedTile, packedGroupGatedTile, packedGroupLinearTile, packedManyTile } from "./packed-groups";
import { packedRowsTile, packedSlotDownTile, packedSlotGatedTile, packedSlotLinearTile } from "./packed-products";
import { reduceColumnsTile, reduceRowsTile } from "./reduce";
import { routeTile } from "./route";
import { scanColumnsTile, scanOffsetsTile, scanRowsTile } from "./scan";
import { softmaxTile } from "./softmax";
import { sortTile } from "./sort";
import { stridedTile } from "./strided";
import { swigluGradTile, swigluTile } from "./swiglu";
import { topKTile } from "./top-k";
import { qkNormRopeTile, ropeTile } from "./turn";
import { unaryTile } from "./unary";

export function tile(command: usize, index: u32, thread: u32): void {
  switch (load<u32>(command)) {
    case codes.PACK:
      return packTile(command, index);
    case codes.GEMM:
      return gemmTile(command, index, thread);
    case codes.GEMM_ROWS:
      return rowsTile(command, index);
    case codes.UNARY:
      return unaryTile(command, index);
    case codes.RMS_NORM:
      return rmsNormTile(command, index);
    case codes.ADD_RMS_NORM:
      return addRmsNormTile(command, index);
    case codes.RMS_NORM_GRAD:
      return rmsNormGradTile(command, index);
    case codes.SUM_PARTS:
      return sumPartsTile(command, index);
    case codes.SOFTMAX:
      return softmaxTile(command, index);
    case codes.SWIGLU:
      return swigluTile(command, index);
    case codes.SWIGLU_GRAD:
      return swigluGradTile(command, index);
    case codes.CROSS_ENTROPY:
      return crossEntropyTile(command, index);
    case codes.CROSS_ENTROPY_GRAD:
      return crossEntropyGradTile(command, index);
    case codes.ADAM_W:
      return adamWTile(command, index);
    case codes.ROPE:
      return ropeTile(command, index);
    case codes.QK_NORM_ROPE:
      return qkNormRopeTile(command, index);
    case codes.APPEND_KV:
      return appendTile(command, index, thread);
    case codes.ATTENTION:
      return attentionTile(command, index, thread);
    case codes.ATTENTION_MERGE:
      return mergeTile(command, index, thread);
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
    case codes.ATTENTION_MEANS:
      return meanTile(command, index);
    case codes.ATTENTION_GRAD_QUERIES:
      return attentionGradTile(command, index, thread, true);
    case codes.ATTENTION_GRAD_KEYS:
      return attentionGradTile(command, index, thread, false);
    case codes.ATTENTION_POOL:
      return poolTile(command, index);
    case codes.ROUND_ROWS:
      return roundTile(command, index, thread);
    case codes.PACKED_ROWS:
      return packedRowsTile(command, index, thread);
    case codes.PACKED_SLOT_LINEAR:
      return packedSlotLinearTile(command, index, thread);
    case codes.PACKED_SLOT_GATED:
      return packedSlotGatedTile(command, index, thread);
    case codes.PACKED_SLOT_DOWN:
      return packedSlotDownTile(command, index, thread);
    case codes.PACKED_MANY:
      return packedManyTile(command, index, thread);
    case codes.PACK_DECODED:
      return packDecodedTile(command, index, thread);
    case codes.PACKED_GROUP_LINEAR:
      return packedGroupLinearTile(command, index, thread);
    case codes.PACKED_GROUP_GATED:
      return packedGroupGatedTile(command, index, thread);
    default:
      unreachable();
  }
}
