// Multimodal RoPE: a token stands at three places, in time, height and width, and each pair turns by one of them.
import { ConfigError, ShapeError } from "../../core/errors.js";
import { turnTable } from "./frequencies.js";
import type { RopeFrequencies } from "./default.js";
import type { RopeOptions } from "./rope-options.js";

/**
 * The table of n tokens, for the rope ops: [n, r], row i for token i. Pair j turns by the token's time, height or width:
 *
 * - sections (Qwen2-VL, Wang et al. 2024): the first `mropeSection[0]` pairs by time, the next `[1]` by height, the last `[2]` by width;
 * - interleaved (Qwen3-VL): by height if j mod 3 = 1 and j < 3 `mropeSection[1]`, by width if j mod 3 = 2 and j < 3 `mropeSection[2]`, else by
 *   time.
 *
 * (transformers: `recomposition_frequencies` of Qwen2VLRotaryEmbedding and Qwen3VLTextRotaryEmbedding.) A token whose three places are equal,
 * as those of text, has the row that `ropeTable` has for this place.
 *
 * @param places [3, n]: time, height, width
 * @throws ConfigError if the options have no mropeSection, ShapeError if places are not three rows.
 */
export function mropeTable(
  frequencies: RopeFrequencies,
  { mropeSection: section, mropeInterleaved = false }: RopeOptions,
  places: Int32Array,
): Float32Array<ArrayBuffer> {
  if (section === undefined) {
    throw new ConfigError(
      "rope: mropeSection must be given where time, height and width of a token differ, got none; add it to the rope options",
    );
  }
  if (places.length % 3 !== 0)
    throw new ShapeError(`mropeTable: places must be [3, n], three rows of equal length, got ${places.length} numbers`);
  const tokens = places.length / 3;
  const axes = frequencies.inverseFrequencies.map((_, pair) => {
    if (!mropeInterleaved) return pair < section[0] ? 0 : pair < section[0] + section[1] ? 1 : 2;
    return pair < 3 * section[pair % 3] ? pair % 3 : 0;
  });
  return turnTable(frequencies, tokens, (token, pair) => places[axes[pair] * tokens + token]);
}
