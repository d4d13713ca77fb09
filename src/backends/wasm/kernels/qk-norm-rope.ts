// Splits qkv into heads, normalises and turns those of q and k, and copies v; tiles are tokens.
import type { Kernels } from "../../backend.js";
import { QK_NORM_ROPE } from "../codes.js";
import { perTile, type Engine } from "../engine.js";

export const qkNormRope =
  (engine: Engine): NonNullable<Kernels["qkNormRope"]> =>
  ([qkv, qWeight, kWeight, table, rows], [q, k, v], { numHeads, numKvHeads, eps, layout }) => {
    const [batch, length, width] = qkv.shape;
    const tokens = batch * length;
    const step = perTile(tokens, 2 * width);
    const words = [qkv, qWeight, kWeight, table, rows, q, k, v].map((view) => (view ? engine.at(view) : 0));
    const sizes = [tokens, numHeads, numKvHeads, q.shape[3], ...table.shape, step, layout === "interleaved" ? 1 : 0];
    engine.launch(QK_NORM_ROPE, Math.ceil(tokens / step), [...words, ...sizes], [eps]);
  };
