// y = softmax(scores) V by tiles of tokens and kv heads. Where these are few, as in decoding, the keys are cut into chunks as well, and a second
// launch brings the parts together.
import { isPackedView, type Matrix, type View } from "../../../core/view.js";
import type { AttentionAttrs, Kernels } from "../../backend.js";
import { ATTENTION, ATTENTION_MERGE } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { KEY_BLOCK } from "../layout.js";
import { matrixWords } from "../packed-rows.js";

/** Query rows of a tile: each key and value is loaded once for them. */
const TILE_ROWS = 64;
/** So many tiles keep the threads busy; fewer are cut into chunks of keys. */
const ENOUGH_TILES = 16;
/** Keys and values of all heads of a chunk stay in a cache of the second level. */
const CHUNK_BYTES = 2 ** 20;

export const attention =
  (engine: Engine): NonNullable<Kernels["attention"]> =>
  ([q, k, v, queries, keys], [y], attrs) => {
    const [batch, tokens, heads, size] = q.shape;
    if (batch * tokens * heads * size === 0) return undefined;
    const kvHeads = k.shape[1];
    const group = heads / kvHeads;
    const step = tokensPerTile(tokens, group);
    const tokenTiles = Math.ceil(tokens / step);
    const units = tokenTiles * batch * kvHeads;
    const lanes = Math.ceil((step * group) / 8) * 8;
    // As assembly/attention.ts has it.
    const tiles = lanes === 8 ? units / kvHeads : units;
    const chunkKeys = keysPerChunk(keys.shape[1], tiles, step * heads * size, 2 * 4 * kvHeads * size);
    const chunks = Math.max(1, Math.ceil(keys.shape[1] / chunkKeys));
    const packed = isPackedView(k) || isPackedView(v);
    const pools = packed ? ROW_NUMBERS : { rowBytes: 4 * size, k: engine.at(k), v: engine.at(v) };
    const decodedBytes = packed ? 2 * 4 * KEY_BLOCK * roundedUp(size) : 0;
    const threadBytes = threadBytesOf(lanes, KEY_BLOCK, size, 2) + decodedBytes;
    const partBytes = 4 * lanes * (2 + roundedUp(size));
    const [scratch, parts] = engine.scratch(threadBytes * engine.threads, chunks > 1 ? units * chunks * partBytes : 0);
    const words = [
      ...sharedWords(engine, [q, k, queries, keys], pools, attrs),
      ...[engine.at(y), step, tokenTiles, batch],
      ...[chunks, chunkKeys, scratch, threadBytes, parts, 0, ...matrixWords(engine, k), ...matrixWords(engine, v)],
    ];
    engine.launch(ATTENTION, tiles * chunks, words, [attrs.scale, attrs.softcap]);
    if (chunks > 1) engine.launch(ATTENTION_MERGE, units, words, [attrs.scale, attrs.softcap]);
    return undefined;
  };

/**
 * By the rows of the table, however many of them are in use: a recorded step must be cut as one that runs at once. `operations` and `bytes` are
 * those of one key.
 */
function keysPerChunk(keyRows: number, tiles: number, operations: number, bytes: number): number {
  if (tiles >= ENOUGH_TILES) return Math.max(1, keyRows);
  const least = perTile(keyRows, 2 * operations);
  const most = Math.max(1, Math.floor(CHUNK_BYTES / bytes));
  const keys = Math.max(least, Math.min(most, (keyRows * tiles) / ENOUGH_TILES));
  return Math.ceil(keys / KEY_BLOCK) * KEY_BLOCK;
}

export const tokensPerTile = (tokens: number, group: number): number =>
  Math.max(1, Math.min(tokens, Math.floor(TILE_ROWS / group)));

const roundedUp = (size: number): number => Math.ceil(size / 4) * 4;

/**
 * Scratch of a thread: records and numbers of `lanes` rows and of `block` that pass, masks and scores of one against the other, and as many panels
 * of rows as wide as a head.
 */
export function threadBytesOf(lanes: number, block: number, size: number, panels: number): number {
  const [across, along] = [Math.ceil(lanes / 8) * 8, Math.ceil(block / 8) * 8];
  const numbers = RECORD_NUMBERS * (across + along) + SMALL_NUMBERS;
  const wide = (across * panels + 1) * roundedUp(size);
  return Math.ceil((4 * (numbers + across * along + 2 * 8 * along + wide)) / 64) * 64;
}
const RECORD_NUMBERS = 16;
const SMALL_NUMBERS = 64;

/** Where the rows of keys and values lie: addresses, and bytes of a row. */
export interface Pools {
  readonly rowBytes: number;
  readonly k: number;
  readonly v: number;
}
/** Of packed pools rows are named by their numbers. */
const ROW_NUMBERS: Pools = { rowBytes: 1, k: 0, v: 0 };

/** The words that all commands of attention begin with (assembly/attention-tables.ts). */
export function sharedWords(
  engine: Engine,
  [q, k, queries, keys]: readonly [q: View, k: Matrix, queries: View, keys: View],
  pools: Pools,
  { causal, window, sinks }: AttentionAttrs,
): number[] {
  const [, tokens, heads, size] = q.shape;
  const least = causal ? 0 : -MOST;
  const from = window === 0 || causal ? -MOST : -Math.min(window, MOST);
  const to = window === 0 ? MOST : Math.min(causal ? window - 1 : window, MOST);
  return [
    ...[engine.at(q), pools.k, pools.v, engine.at(queries), engine.at(keys)],
    ...[tokens, heads, k.shape[1], size, k.shape[0], keys.shape[1]],
    ...[least, from, to, Math.min(sinks, MOST), pools.rowBytes],
  ];
}
const MOST = 2 ** 31 - 1;
