// Drawn calls of attention and what stands around it.
import fc from "fast-check";
import type { FusedOps } from "../../../src/backends/backend.js";
import type { Random } from "../../../src/core/random.js";
import type { Shape } from "../../../src/core/shape.js";
import { appendKV } from "../../../src/ops/append-kv.js";
import { attentionGrad } from "../../../src/ops/attention-grad.js";
import { attention } from "../../../src/ops/attention.js";
import { dequantize } from "../../../src/ops/dequantize.js";
import { qkNormRope } from "../../../src/ops/qk-norm-rope.js";
import { rope } from "../../../src/ops/rope.js";
import { PackedTensor } from "../../../src/tensor/packed-tensor.js";
import type { Tensor } from "../../../src/tensor/tensor.js";
import {
  extent,
  rows,
  eps,
  layout,
  storedAs,
  draw,
  normal,
  integers,
  plainOf,
  packed,
  type HostOperand,
  type OpCase,
} from "./draw.js";

interface Attrs {
  readonly scale: number;
  readonly causal: boolean;
  readonly window: number;
  readonly sinks: number;
  readonly softcap: number;
}

const attentionAttrs: fc.Arbitrary<Attrs> = fc.record({
  scale: fc.constantFrom(0.5, 1),
  causal: fc.boolean(),
  window: fc.constantFrom(0, 1, 2, 3),
  sinks: fc.constantFrom(0, 0, 1, 2),
  softcap: fc.constantFrom(0, 0, 2),
});

/** The rule of the contract, token by token; tells the ranges that a caller may promise. */
function sees([qp, qs]: readonly number[], [kp, ks]: readonly number[], { causal, window, sinks }: Attrs): boolean {
  const plain = (segment: number): number => (segment < 0 ? ~segment : segment);
  if (qp < 0 || kp < 0 || plain(qs) !== plain(ks) || (causal && kp > qp)) return false;
  const near = causal ? qp - kp < window : Math.abs(qp - kp) <= window;
  return window === 0 || near || kp < sinks || qs < 0 || ks < 0;
}

function tables(
  random: Random,
  [B, T, S, N]: readonly number[],
  attrs: Attrs,
): { readonly queries: HostOperand; readonly keys: HostOperand } {
  const segments = [0, 0, 1, ~0, ~1];
  const queries = integers(random, [B, T, 4], -1, 5);
  const keys = integers(random, [B, S, 3], -1, 5);
  const at = ({ data, shape }: HostOperand, b: number, i: number): number[] =>
    Array.from(data.subarray((b * shape[1] + i) * shape[2], (b * shape[1] + i + 1) * shape[2]));
  for (let i = 1; i < queries.data.length; i += 4) queries.data[i] = segments[random.integer(5)];
  for (let i = 1; i < keys.data.length; i += 3) {
    keys.data[i] = segments[random.integer(5)];
    keys.data[i + 1] = keys.data[i - 1] < 0 ? N + 7 : random.integer(N);
  }
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      const visible = Array.from({ length: S }, (_, s) => sees(at(queries, b, t), at(keys, b, s), attrs));
      const first = Math.max(visible.indexOf(true), 0);
      const last = visible.lastIndexOf(true) + 1;
      queries.data[(b * T + t) * 4 + 2] = random.integer(first + 1);
      queries.data[(b * T + t) * 4 + 3] = last + random.integer(S - last + 1);
    }
  }
  return { queries, keys };
}

const few = fc.integer({ min: 1, max: 3 });
const attentionShapes = {
  B: fc.nat(2),
  T: rows,
  S: rows,
  N: extent,
  Hkv: fc.integer({ min: 1, max: 2 }),
  G: few,
  d: few,
};

type Names = "rope" | "qkNormRope" | "appendKV" | "attention" | "attentionGrad";

export const attentionCases: { readonly [K in Names & keyof FusedOps]: fc.Arbitrary<OpCase> } = {
  rope: draw(
    { B: rows, T: rows, H: extent, pairs: extent, rest: rows, layout, inverse: fc.boolean() },
    ({ B, T, H, pairs, rest, layout, inverse }, random) => ({
      inputs: [
        normal(random, [B, T, H, 2 * pairs + rest]),
        normal(random, [4, 2 * pairs]),
        integers(random, [B, T], -1, 5),
      ],
      params: [0],
      run: ([x, table, rows]) => [rope(x, table, rows, { layout, inverse })],
    }),
  ),

  qkNormRope: draw(
    {
      B: rows,
      T: rows,
      numHeads: extent,
      numKvHeads: extent,
      pairs: extent,
      rest: rows,
      norms: fc.nat(3),
      eps,
      layout,
    },
    ({ B, T, numHeads, numKvHeads, pairs, rest, norms, eps, layout }, random) => {
      const d = 2 * pairs + rest;
      const inputs = [
        normal(random, [B, T, (numHeads + 2 * numKvHeads) * d]),
        norms & 1 ? normal(random, [d]) : undefined,
        norms & 2 ? normal(random, [d]) : undefined,
        normal(random, [4, 2 * pairs]),
        integers(random, [B, T], 0, 4),
      ];
      return {
        inputs,
        params: plainOf(inputs, [0, 1, 2]),
        run([qkv, qWeight, kWeight, table, rows]) {
          const { q, k, v } = qkNormRope(qkv, qWeight, kWeight, table, rows, { numHeads, numKvHeads, eps, layout });
          return [q, k, v];
        },
      };
    },
  ),

  appendKV: draw(
    { B: rows, T: rows, N: extent, Hkv: extent, d: extent, kAs: storedAs, vAs: storedAs },
    ({ B, T, N, Hkv, d, kAs, vAs }, random) => ({
      inputs: [
        normal(random, [B, T, Hkv, d]),
        normal(random, [B, T, Hkv, d]),
        integers(random, [B, T], -2, N + 2),
        packed(normal(random, [N, Hkv, d]), kAs),
        packed(normal(random, [N, Hkv, d]), vAs),
      ],
      params: [],
      run([k, v, slots, kPool, vPool]) {
        appendKV(k, v, slots, kPool, vPool);
        return [kPool, vPool].map((pool: Tensor | PackedTensor) =>
          pool instanceof PackedTensor ? dequantize(pool) : pool,
        );
      },
    }),
  ),

  attention: draw(
    { ...attentionShapes, attrs: attentionAttrs, kAs: storedAs, vAs: storedAs },
    ({ B, T, S, N, Hkv, G, d, attrs, kAs, vAs }, random) => {
      const { queries, keys } = tables(random, [B, T, S, N], attrs);
      const inputs = [
        normal(random, [B, T, Hkv * G, d]),
        packed(normal(random, [N, Hkv, d]), kAs),
        packed(normal(random, [N, Hkv, d]), vAs),
        queries,
        keys,
      ];
      return {
        inputs,
        params: plainOf(inputs, [0, 1, 2]),
        run: ([q, k, v, queries, keys]) => [attention(q, k, v, queries, keys, attrs)],
      };
    },
  ),

  attentionGrad: draw({ ...attentionShapes, attrs: attentionAttrs }, ({ B, T, S, N, Hkv, G, d, attrs }, random) => {
    const { queries, keys } = tables(random, [B, T, S, N], attrs);
    const of = (shape: Shape): HostOperand => normal(random, shape);
    return {
      inputs: [of([B, T, Hkv * G, d]), of([N, Hkv, d]), of([N, Hkv, d]), queries, keys, of([B, T, Hkv * G, d])],
      params: [],
      run([q, k, v, queries, keys, dy]) {
        const y = attention(q, k, v, queries, keys, attrs);
        return attentionGrad(q, k, v, queries, keys, y, dy, attrs, [true, true, true]);
      },
    };
  }),
};
