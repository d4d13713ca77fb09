// Gradients of attention: the statistics of each query row again, then dq by tiles of queries and rows of dk and dv by tiles of keys, and those
// rows added into the slots that they came from. Packed pools are decoded first.
import { sizeOf } from "../../../core/shape.js";
import { isPackedView, type Matrix, type View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { ATTENTION, ATTENTION_GRAD_KEYS, ATTENTION_GRAD_QUERIES, ATTENTION_MEANS, ATTENTION_POOL } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { KEY_BLOCK } from "../layout.js";
import { decodeAll } from "../packed-rows.js";
import { sharedWords, threadBytesOf, tokensPerTile } from "./attention.js";

const KEYS_PER_TILE = 32;

export const attentionGrad =
  (engine: Engine): NonNullable<Kernels["attentionGrad"]> =>
  ([q, k, v, queries, keys, y, dy], [dq, dk, dv], { scale, softcap, ...attrs }) => {
    const [batch, tokens, heads, size] = q.shape;
    const [slots, kvHeads] = k.shape;
    const keyRows = keys.shape[1];
    const group = heads / kvHeads;
    const step = tokensPerTile(tokens, group);
    const tokenTiles = Math.ceil(tokens / step);
    const keyTiles = Math.ceil(keyRows / KEYS_PER_TILE);
    const passing = tokensPerTile(tokens, group);
    const threadBytes = Math.max(
      threadBytesOf(step * group, KEY_BLOCK, size, 4),
      threadBytesOf(KEYS_PER_TILE, passing * group, size, 4),
    );
    const rowBytes = (wanted: View | undefined): number => (wanted ? batch * keyRows * kvHeads * size * 4 : 0);
    const rows = batch * tokens * heads;
    const [scratch, statistics, dkRows, dvRows, kNumbers, vNumbers] = engine.scratch(
      threadBytes * engine.threads,
      3 * 4 * rows,
      rowBytes(dk),
      rowBytes(dv),
      decodedBytes(k),
      decodedBytes(v),
    );
    const pools = { rowBytes: 4 * size, k: decoded(engine, k, kNumbers), v: decoded(engine, v, vNumbers) };
    const at = (view: View | undefined): number => (view ? engine.at(view) : 0);
    const shared = sharedWords(engine, [q, k, queries, keys], pools, { scale, softcap, ...attrs });
    const launch = (
      code: number,
      tiles: number,
      perTile: number,
      tilesInRow: number,
      words: readonly number[],
    ): void => {
      const [passingTokens, nearSums, farSums] = words;
      engine.launch(
        code,
        tiles,
        [
          ...[...shared, at(dy), perTile, tilesInRow, batch, passingTokens, nearSums],
          ...[scratch, threadBytes, farSums, statistics, at(y)],
        ],
        [scale, softcap],
      );
    };
    const queryTiles = tokenTiles * batch * kvHeads;
    launch(ATTENTION, queryTiles, step, tokenTiles, [1, keyRows, 0]);
    if (dq || dk) {
      const rowsPerTile = perTile(rows, size);
      launch(ATTENTION_MEANS, Math.ceil(rows / rowsPerTile), rowsPerTile, 0, [0, 0, 0]);
    }
    if (dq) launch(ATTENTION_GRAD_QUERIES, queryTiles, step, tokenTiles, [0, at(dq), 0]);
    if (dk || dv) {
      const sums = [passing, dk ? dkRows : 0, dv ? dvRows : 0];
      launch(ATTENTION_GRAD_KEYS, keyTiles * batch * kvHeads, KEYS_PER_TILE, keyTiles, sums);
    }
    for (const [pool, from] of [[dk, dkRows] as const, [dv, dvRows] as const]) {
      if (!pool || slots === 0) continue;
      const width = kvHeads * size;
      const perPool = Math.max(perTile(slots, width), Math.ceil(slots / MAX_POOL_TILES));
      const words = [from, at(pool), at(keys), sizeOf(keys.shape) / 3, slots, width, perPool];
      engine.launch(ATTENTION_POOL, Math.ceil(slots / perPool), words);
    }
  };

const decodedBytes = (pool: Matrix): number => (isPackedView(pool) ? 4 * sizeOf(pool.shape) : 0);

/** Where the numbers of a pool lie: in its own place, or decoded to `scratch`. */
function decoded(engine: Engine, pool: Matrix, scratch: number): number {
  if (!isPackedView(pool)) return engine.at(pool);
  decodeAll(engine, pool, scratch);
  return scratch;
}

/** Each tile looks at all keys for those of its slots. */
const MAX_POOL_TILES = 32;
