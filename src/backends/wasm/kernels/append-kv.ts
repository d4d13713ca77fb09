// Copies each token's keys and values into its slot of the pools; tiles are columns, so that of equal slots the last stays.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView } from "../../../core/view.js";
import { DECLINED, type Kernels } from "../../backend.js";
import { APPEND_KV } from "../codes.js";
import { perTile, type Engine } from "../engine.js";

/** Bytes that tiles take together: a cache line, which no two threads should write. */
const PIECE = 64;

export const appendKV =
  (engine: Engine): NonNullable<Kernels["appendKV"]> =>
  ([k, v, slots], [kPool, vPool]) => {
    if (isPackedView(kPool) || isPackedView(vPool)) return DECLINED;
    const tokens = sizeOf(slots.shape);
    const bytes = sizeOf(kPool.shape.slice(1)) * 4;
    const pieces = Math.ceil(bytes / PIECE);
    const step = perTile(pieces, 2 * tokens * (PIECE / 4)) * PIECE;
    engine.launch(APPEND_KV, Math.ceil(bytes / step), [
      ...[k, v, slots, kPool, vPool].map((view) => engine.at(view)),
      ...[tokens, kPool.shape[0], bytes, step],
    ]);
    return undefined;
  };
