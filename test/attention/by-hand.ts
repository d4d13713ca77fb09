// Qwen3's attention for one text, token by token and head by head in f64: projections, norm of each head, RoPE, mask, softmax, gate, output
// projection.
import { ropeFrequencies, type AttentionOptions, type RopeOptions } from "qwen-blocks";
import { u } from "../tensor/numbers.js";

export interface AttentionWeights {
  /** [(H + 2 Hkv) d, D]; with an output gate each head of q has its gate behind it. */
  readonly qkv: readonly number[];
  /** [D, H d] */
  readonly o: readonly number[];
  readonly qNorm: readonly number[];
  readonly kNorm: readonly number[];
}
export interface Token {
  readonly x: readonly number[];
  readonly position: number;
  readonly segment?: number;
  /** By what multimodal RoPE turns it, instead of its position. */
  readonly places?: Places;
}
type Places = readonly [time: number, height: number, width: number];
export interface Variant {
  /** The order that Qwen3 does not have: RoPE before the norm. */
  readonly ropeFirst?: boolean;
  /** Query head h reads kv head h mod Hkv, as tiling would have it. */
  readonly tiled?: boolean;
  /** What is added to the greatest visible distance: 1 sees the future, -1 not itself. */
  readonly shift?: number;
}
type Options = Omit<AttentionOptions, "rope"> & { readonly rope: RopeOptions };

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((total, x, i) => total + x * b[i], 0);
const apply = (m: readonly number[], x: readonly number[]): number[] =>
  Array.from({ length: m.length / x.length }, (_, i) => dot(m.slice(i * x.length, (i + 1) * x.length), x));

export function turned(
  head: readonly number[],
  position: number,
  options: RopeOptions,
  places: Places = [position, position, position],
): number[] {
  const { inverseFrequencies, attentionFactor } = ropeFrequencies(head.length, options);
  const half = inverseFrequencies.length;
  return head.map((value, i) => {
    if (i >= 2 * half) return value;
    const angle = Math.fround(places[axisOf(i % half, options)] * inverseFrequencies[i % half]);
    const partner = i < half ? -head[i + half] : head[i - half];
    return (value * Math.cos(angle) + partner * Math.sin(angle)) * attentionFactor;
  });
}

/** Which of the three places turns a pair: sections in a row, or dealt out in turn until those of height and width are used up. */
function axisOf(pair: number, { mropeSection, mropeInterleaved }: RopeOptions): number {
  if (!mropeSection) return 0;
  const [time, height] = mropeSection;
  const inRow = pair < time ? 0 : pair < time + height ? 1 : 2;
  return mropeInterleaved ? (Math.floor(pair / 3) < mropeSection[pair % 3] ? pair % 3 : 0) : inRow;
}

/** Whether the mask lets the query see the key. */
export function sees(
  query: Place,
  key: Place,
  { causal = true, slidingWindow: W = 0, sinks = 0 }: Mask,
  shift = 0,
): boolean {
  const [from, to] = [query.segment ?? 0, key.segment ?? 0];
  const [global, text] = [from < 0 || to < 0, from < 0 ? ~from : from];
  if (query.position < 0 || key.position < 0 || text !== (to < 0 ? ~to : to)) return false;
  const distance = query.position - key.position;
  if (causal && distance < -shift) return false;
  return W === 0 || global || key.position < sinks || (causal ? distance < W : Math.abs(distance) <= W);
}
type Place = Pick<Token, "position" | "segment">;
type Mask = Pick<AttentionOptions, "causal" | "slidingWindow" | "sinks">;

/** The outputs of all tokens of one batch row; padding (position -1) gives zeros. */
export function attend(
  tokens: readonly Token[],
  w: AttentionWeights,
  options: Options,
  variant: Variant = {},
): number[][] {
  const { numAttentionHeads: H, numKeyValueHeads: Hkv, headDim: d, rmsNormEps: eps, softcap: cap = 0 } = options;
  const rows = options.outputGate ? 2 : 1;
  const norm = (head: readonly number[], weight: readonly number[]): number[] => {
    if (!options.qkNorm) return [...head];
    const r = 1 / Math.sqrt(dot(head, head) / d + eps);
    return head.map((value, i) => value * r * weight[i]);
  };
  const prepared = tokens.map(({ x, position, segment = 0, places }) => {
    const all = apply(w.qkv, x);
    const head = (i: number): number[] => all.slice(i * d, (i + 1) * d);
    const ready = (i: number, weight: readonly number[]): number[] =>
      variant.ropeFirst ? norm(turned(head(i), position, options.rope, places), weight) : turned(norm(head(i), weight), position, options.rope, places); // prettier-ignore
    return {
      position,
      segment,
      q: Array.from({ length: H }, (_, h) => ready(rows * h, w.qNorm)),
      gate: (h: number): number[] => head(2 * h + 1).map((value) => 1 / (1 + Math.exp(-value))),
      k: Array.from({ length: Hkv }, (_, h) => ready(rows * H + h, w.kNorm)),
      v: Array.from({ length: Hkv }, (_, h) => head(rows * H + Hkv + h)),
    };
  });
  return prepared.map((query) => {
    if (query.position < 0) return Array<number>(options.hiddenSize).fill(0);
    const seen = prepared.filter((key) => sees(query, key, options, variant.shift));
    const heads = query.q.flatMap((q, h) => {
      const kv = variant.tiled ? h % Hkv : Math.floor((h * Hkv) / H);
      const bent = (score: number): number => (cap > 0 ? cap * Math.tanh(score / cap) : score);
      const scores = seen.map(({ k }) => Math.exp(bent(dot(q, k[kv]) / Math.sqrt(d))));
      const total = scores.reduce((a, b) => a + b, 0);
      const gate = options.outputGate ? query.gate(h) : undefined;
      return Array.from(
        { length: d },
        (_, i) => (gate?.[i] ?? 1) * seen.reduce((sum, { v }, s) => sum + (scores[s] / total) * v[kv][i], 0),
      );
    });
    return apply(w.o, heads);
  });
}

/**
 * How far f32 may be from {@link attend}. v is rounded once, q and k 5 times (product, norm, turn), scores once more, so a score is off by
 * 12 u |q||k| / sqrt d and each weight by twice that, relative; the weighted sum and the output product round 4 times more. All are relative
 * to |o| |v|, the sizes that are summed. A soft-cap rounds a score 6 times more and bends no error up. A gate is off by a quarter of its own
 * error, of D products, and by 4 roundings.
 */
export function boundOf(tokens: readonly Token[], w: AttentionWeights, options: Options): number {
  const { numAttentionHeads: H, numKeyValueHeads: Hkv, headDim: d, hiddenSize: D } = options;
  const queryRows = (options.outputGate ? 2 : 1) * H;
  const absolute = (m: readonly number[]): number[] => m.map(Math.abs);
  const projected = tokens.map(({ x }) => apply(absolute(w.qkv), absolute(x)));
  const largest = (from: number, to: number): number =>
    Math.max(...projected.flatMap((all) => all.slice(from * d, to * d)));
  const head = (from: number, to: number, weight: readonly number[]): number =>
    options.qkNorm ? Math.sqrt(d) * Math.max(...absolute(weight)) : Math.sqrt(d) * largest(from, to);
  const score = (head(0, queryRows, w.qNorm) * head(queryRows, queryRows + Hkv, w.kNorm)) / Math.sqrt(d);
  const row = Math.max(...Array.from({ length: D }, (_, i) => w.o.slice(i * H * d, (i + 1) * H * d).reduce((a, b) => a + Math.abs(b), 0))); // prettier-ignore
  const gate = options.outputGate ? (D / 4) * largest(0, queryRows) + 4 : 0;
  const steps = (options.softcap ? 36 : 24) * score + 8 + gate;
  return steps * u * row * largest(queryRows + Hkv, queryRows + 2 * Hkv);
}
