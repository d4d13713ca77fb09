// Writes each token's keys and values into its slot of the pools, encoding them where a pool is packed.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { APPEND_KV } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { ENCODE_BYTES, matrixWords } from "../packed-rows.js";

export const appendKV =
  (engine: Engine): NonNullable<Kernels["appendKV"]> =>
  ([k, v, slots], [kPool, vPool]) => {
    const tokens = sizeOf(slots.shape);
    const [, heads, size] = kPool.shape;
    const step = perTile(heads, 2 * tokens * size);
    const [scratch] = engine.scratch(ENCODE_BYTES * engine.threads);
    engine.launch(APPEND_KV, Math.ceil(heads / step), [
      ...[...matrixWords(engine, kPool), engine.at(k), kPool.shape[0]],
      ...[...matrixWords(engine, vPool), engine.at(v), vPool.shape[0]],
      ...[engine.at(slots), tokens, heads, size, step, scratch, ENCODE_BYTES],
    ]);
    return undefined;
  };
