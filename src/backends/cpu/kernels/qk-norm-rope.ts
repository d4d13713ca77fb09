// Splits qkv [B, T, (H + 2 Hkv) d] into q, k and v, normalises the heads of q and k where a weight is given, and turns them by their position.
import type { View } from "../../../core/view.js";
import type { Kernel } from "../../backend.js";
import { floats, ints } from "../read.js";
import { inverseRms } from "./rms-norm.js";
import { turnHead } from "./rope.js";

export const qkNormRope: Kernel<"qkNormRope", void> = (
  [qkv, qWeight, kWeight, table, rows],
  [q, k, v],
  { numHeads, numKvHeads, eps, layout },
) => {
  const size = q.shape[q.shape.length - 1];
  const from = floats(qkv);
  const angles = floats(table);
  const [rowCount, turned] = table.shape;
  const wanted = ints(rows);
  const stride = (numHeads + 2 * numKvHeads) * size;
  const normed = new Float64Array(size);

  const turnHeads = (weight: View | undefined, first: number, heads: number, out: View): void => {
    const factors = weight === undefined ? undefined : floats(weight);
    const to = floats(out);
    for (let token = 0; token < wanted.length; token++) {
      for (let head = 0; head < heads; head++) {
        const at = token * stride + (first + head) * size;
        const scale = factors === undefined ? 1 : inverseRms(from, at, size, eps);
        for (let i = 0; i < size; i++) normed[i] = from[at + i] * scale * (factors === undefined ? 1 : factors[i]);
        const toAt = (token * heads + head) * size;
        turnHead(normed, 0, to, toAt, size, angles, wanted[token], rowCount, turned, layout, false);
      }
    }
  };
  turnHeads(qWeight, 0, numHeads, q);
  turnHeads(kWeight, numHeads, numKvHeads, k);

  const values = floats(v);
  const width = numKvHeads * size;
  for (let token = 0; token < wanted.length; token++) {
    const at = token * stride + (numHeads + numKvHeads) * size;
    for (let i = 0; i < width; i++) values[token * width + i] = from[at + i];
  }
};
