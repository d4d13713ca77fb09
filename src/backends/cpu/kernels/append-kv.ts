// Writes each token's keys and values into its slot of the pools, encoding them where a pool is packed; a slot out of range is skipped.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type Matrix, type View } from "../../../core/view.js";
import { schemeNamed } from "../../../quant/schemes/schemes.js";
import type { Kernel } from "../../backend.js";
import { floats, ints, partWords, words } from "../read.js";

export const appendKV: Kernel<"appendKV", void> = ([k, v, slots], [kPool, vPool]) => {
  append(k, ints(slots), kPool);
  append(v, ints(slots), vPool);
};

function append(x: View, slots: Int32Array, pool: Matrix): void {
  const count = pool.shape[0];
  if (!isPackedView(pool)) {
    copyRows(words(x), words(pool), slots, count, sizeOf(pool.shape.slice(1)));
    return;
  }
  const parts = partWords(pool);
  const encoded = schemeNamed("appendKV", pool.scheme).encode(floats(x), x.shape);
  parts.forEach((part, i) => {
    copyRows(encoded[i], part, slots, count, part.length / count);
  });
}

function copyRows(
  from: Float32Array | Uint32Array,
  to: Float32Array | Uint32Array,
  slots: Int32Array,
  count: number,
  width: number,
): void {
  for (let i = 0; i < slots.length; i++) {
    const slot = slots[i];
    if (slot < 0 || slot >= count) continue;
    for (let j = 0; j < width; j++) to[slot * width + j] = from[i * width + j];
  }
}
