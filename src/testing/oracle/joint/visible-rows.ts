// What attention and its gradient read: for each query and head the keys that it sees, their scores and the weights of these.
import type { AttentionAttrs } from "../../../backends/backend.js";
import { isPackedView, type Matrix, type View } from "../../../core/view.js";
import { blank, contents, load, type Numbers } from "../cells.js";
import { decoded } from "../primitives/packed.js";
import type { Profile } from "../profile.js";
import { gamma, rounded } from "../rounding.js";
import { moderate, softmaxOf, type Softmax } from "./softmax.js";

export interface Operands {
  readonly q: Numbers;
  readonly k: Numbers;
  readonly v: Numbers;
  readonly d: number;
}

/** One query of one head, with at least one key. Offsets are of the first component of a head. */
export interface Row {
  readonly query: number;
  /** Offsets of the visible keys and values in their pools, in the order of the table. */
  readonly keys: readonly number[];
  readonly scores: Numbers;
  readonly p: Softmax;
}

type Inputs = readonly [q: View, k: Matrix, v: Matrix, queries: View, keys: View];

/** The rows in order of queries; undefined where numbers are not finite, or integers in doubt, so that primitives must do. */
export function visibleRows(
  [q, k, v, queries, keys]: Inputs,
  attrs: AttentionAttrs,
  profile: Profile,
): { readonly of: Operands; readonly rows: Row[] } | undefined {
  const read = (x: Matrix): Numbers => (isPackedView(x) ? decoded(x, profile) : load(x, profile));
  const [B, T, H, d] = q.shape;
  const [N, Hkv] = k.shape;
  const S = keys.shape[1];
  const of: Operands = { q: read(q), k: read(k), v: read(v), d };
  const [asks, places] = [contents(queries), contents(keys)];
  if (asks.bound.some((bound) => bound > 0) || places.bound.some((bound) => bound > 0)) return undefined;
  const rows: Row[] = [];
  for (let at = 0; at < B * T; at++) {
    const query = asks.value.subarray(4 * at, 4 * at + 4);
    const slots: number[] = [];
    for (let s = Math.max(query[2], 0); s < Math.min(query[3], S); s++) {
      const key = places.value.subarray(3 * (Math.floor(at / T) * S + s), 3 * (Math.floor(at / T) * S + s) + 3);
      if (!sees(query, key, attrs)) continue;
      if (key[2] < 0 || key[2] >= N) return undefined;
      slots.push(key[2]);
    }
    if (slots.length === 0) continue;
    for (let h = 0; h < H; h++) {
      const offsets = slots.map((slot) => (slot * Hkv + Math.floor((h * Hkv) / H)) * d);
      const row = rowOf((at * H + h) * d, offsets, of, attrs, profile);
      if (!row) return undefined;
      rows.push(row);
    }
  }
  return { of, rows };
}

function rowOf(query: number, keys: number[], of: Operands, attrs: AttentionAttrs, profile: Profile): Row | undefined {
  const scores = blank(keys.length);
  keys.forEach((key, i) => {
    [scores.value[i], scores.bound[i]] = scoreOf(query, key, of, attrs, profile);
  });
  const fits = keys.every((key) => finite(of.k, key, of.d) && finite(of.v, key, of.d));
  if (!fits || !finite(of.q, query, of.d) || !moderate(scores)) return undefined;
  return { query, keys, scores, p: softmaxOf(scores, profile, keys.length - 1) };
}

const finite = ({ value }: Numbers, from: number, count: number): boolean =>
  value.subarray(from, from + count).every((x) => Math.abs(x) < 2 ** 60);

/** q·k scale, the scale being multiplied in anywhere and taken rounded or not, then the cap: a quotient, a function and a product. */
function scoreOf(
  query: number,
  key: number,
  { q, k, d }: Operands,
  { scale, softcap }: AttentionAttrs,
  profile: Profile,
): readonly [value: number, bound: number] {
  let [dot, spread, size] = [0, 0, 0];
  for (let c = 0; c < d; c++) {
    const [x, y, dx, dy] = [q.value[query + c], k.value[key + c], q.bound[query + c], k.bound[key + c]];
    dot += x * y;
    spread += Math.abs(x) * dy + Math.abs(y) * dx + dx * dy;
    size += Math.abs(x * y);
  }
  const own = gamma(profile, d + 2) * (size + spread) + (d + 2) * profile.underflow;
  const [value, bound] = [dot * scale, (spread + own) * Math.abs(scale) + profile.underflow];
  if (softcap === 0) return [value, bound];
  const [x, dx] = [value / softcap, (bound + 2 * profile.division(1, 1) * (Math.abs(value) + bound)) / softcap];
  const bent = Math.tanh(x);
  const moved = Math.max(Math.tanh(x + dx) - bent, bent - Math.tanh(x - dx));
  const most = Math.abs(bent) + moved;
  const slip = profile.unit * softcap * most;
  const off = moved + profile.functions.tanh(Math.abs(x) + dx, most) + 2 * profile.underflow;
  return [bent * softcap, rounded(profile, bent * softcap, off * softcap + slip)];
}

/** The contract's rule of visibility for one pair, positions and segments first. */
function sees(query: Float64Array, key: Float64Array, { causal, window, sinks }: AttentionAttrs): boolean {
  const [position, segment] = query;
  const [keyPosition, keySegment] = key;
  const plain = (one: number): number => (one < 0 ? -1 - one : one);
  if (position < 0 || keyPosition < 0 || plain(segment) !== plain(keySegment)) return false;
  if (causal && keyPosition > position) return false;
  if (window === 0 || keyPosition < sinks || segment < 0 || keySegment < 0) return true;
  return causal ? position - keyPosition < window : Math.abs(position - keyPosition) <= window;
}
