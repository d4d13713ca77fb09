// New keys and values go into their slots of the pools, encoded where a pool is packed. A tile has some heads of all tokens, which it takes in
// order: of equal slots the last stays.
import { word } from "./command";
import { encodeRow } from "./packed";
import { MATRIX_WORDS, codesOf, scalesOf, schemeOf } from "./packed-matrix";

/** Words of a pool: the matrix, what goes into it, and how many slots it has. */
const POOL_WORDS: usize = MATRIX_WORDS + 2;

/**
 * Words: the pool of keys, that of values; slots, tokens, kv heads, size of a head; heads per tile; scratch, bytes per thread.
 */
export function appendTile(command: usize, tile: u32, thread: u32): void {
  const rest = 2 * POOL_WORDS;
  const slots = word(command, rest) as usize, tokens = word(command, rest + 1), heads = word(command, rest + 2), size = word(command, rest + 3);
  const perTile = word(command, rest + 4);
  const scratch = (word(command, rest + 5) as usize) + thread * word(command, rest + 6);
  const first = tile * perTile, last = min(heads, first + perTile);
  for (let pool: usize = 0; pool <= POOL_WORDS; pool += POOL_WORDS) {
    const scheme = schemeOf(command, pool), count = word(command, pool + MATRIX_WORDS + 1);
    for (let token: u32 = 0; token < tokens; token++) {
      const slot = load<u32>(slots + (token << 2));
      if (slot >= count) continue;
      for (let head = first; head < last; head++) {
        const x = (word(command, pool + MATRIX_WORDS) as usize) + ((((token as usize) * heads + head) * size) << 2);
        const row = (slot as usize) * heads + head;
        encodeRow(scheme, x, codesOf(command, pool, row), scalesOf(command, pool, row), size, scratch);
      }
    }
  }
}
