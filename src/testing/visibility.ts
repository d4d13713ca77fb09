// The tables of attention, drawn over everything they can say: positions in any order, hidden keys and absent queries, segments, global
// tokens, slots that are shared or nowhere, and ranges of rows as wide as the caller may promise or wider.
import fc from "fast-check";
import type { AttentionAttrs } from "../backends/backend.js";
import type { Random } from "../core/random.js";
import type { PlainOperand } from "./operands.js";
import { among, integers } from "./arbitraries.js";

export const attentionAttrs: fc.Arbitrary<AttentionAttrs> = fc.record({
  scale: among(0.5, 1, 0.125),
  causal: fc.boolean(),
  window: among(0, 1, 2, 3, 8),
  sinks: among(0, 0, 1, 2),
  softcap: among(0, 0, 2, 30),
});

/** The rule of the contract for one pair: (position, segment) of a query and of a key. */
export function sees(
  [position, segment]: readonly number[],
  [keyPosition, keySegment]: readonly number[],
  { causal, window, sinks }: AttentionAttrs,
): boolean {
  const plain = (segment: number): number => (segment < 0 ? ~segment : segment);
  if (position < 0 || keyPosition < 0 || plain(segment) !== plain(keySegment)) return false;
  if (causal && keyPosition > position) return false;
  const distance = position - keyPosition;
  const near = window === 0 || (causal ? distance < window : Math.abs(distance) <= window);
  return near || keyPosition < sinks || segment < 0 || keySegment < 0;
}

/** @param segments how many segments there are; 1 with global tokens left out is plain causal or bidirectional attention */
export function tables(
  random: Random,
  [B, T, S, N]: readonly number[],
  attrs: AttentionAttrs,
  segments: number,
): { readonly queries: PlainOperand; readonly keys: PlainOperand } {
  const queries = integers(random, [B, T, 4], 0, Math.max(S, 2) + 2);
  const keys = integers(random, [B, S, 3], 0, Math.max(S, 2) + 2);
  const segment = (): number => {
    const drawn = random.integer(Math.max(segments, 1));
    return segments > 0 && random.integer(6) === 0 ? ~drawn : drawn;
  };
  for (let i = 0; i < queries.data.length; i += 4) {
    if (random.integer(8) === 0) queries.data[i] = -1;
    queries.data[i + 1] = segment();
  }
  for (let i = 0; i < keys.data.length; i += 3) {
    const hidden = random.integer(8) === 0;
    if (hidden) keys.data[i] = -1;
    keys.data[i + 1] = segment();
    keys.data[i + 2] = hidden ? N + 7 : random.integer(N);
  }
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) promise(random, queries, keys, b, t, attrs);
  }
  return { queries, keys };
}

/** Sets a query's range of rows: all that it sees, and perhaps more. */
function promise(
  random: Random,
  queries: PlainOperand,
  keys: PlainOperand,
  b: number,
  t: number,
  attrs: AttentionAttrs,
): void {
  const [T, S] = [queries.shape[1], keys.shape[1]];
  const at = 4 * (b * T + t);
  const visible = Array.from({ length: S }, (_, s) => {
    const key = 3 * (b * S + s);
    return sees([...queries.data.subarray(at, at + 2)], [...keys.data.subarray(key, key + 2)], attrs);
  });
  const first = Math.max(visible.indexOf(true), 0);
  const last = visible.lastIndexOf(true) + 1;
  const tight = random.integer(2) === 0;
  queries.data[at + 2] = tight ? first : random.integer(first + 1);
  queries.data[at + 3] = tight ? last : last + random.integer(S - last + 1);
}

/** Fills the rows of a plain pool that no key names with NaN: nobody may let them in. */
export function spoilUnused(pool: PlainOperand, keys: PlainOperand): void {
  const [N, Hkv, d] = pool.shape;
  const used = new Set<number>();
  for (let i = 0; i < keys.data.length; i += 3) if (keys.data[i] >= 0) used.add(keys.data[i + 2]);
  for (let slot = 0; slot < N; slot++) {
    if (!used.has(slot)) pool.data.fill(NaN, slot * Hkv * d, (slot + 1) * Hkv * d);
  }
}
