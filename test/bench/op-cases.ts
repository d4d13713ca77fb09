// The ops that `--ops` measures: each call with operands like those of a model, and as many of them as no cache holds.
import {
  adamW,
  addRmsNorm,
  attention,
  attentionGrad,
  crossEntropy,
  expertMlp,
  linear,
  linearGrad,
  neg,
} from "qwen-blocks";
import { fill, rmsNorm, route, sequencePositions, softmax, stepWithoutCache, swiglu, tensor, topK } from "qwen-blocks";
import type { Activations, Attr, Backend, OpName, PackedTensor, Random, Tensor } from "qwen-blocks";
import { schemes } from "qwen-blocks/quant";
import type { DeviceWeights } from "./device-weights.js";
import type { OpSizes } from "./op-sizes.js";

export type Handle = Tensor | PackedTensor | undefined;

/** One call, ready to run. */
export interface OpCall {
  readonly inputs: readonly Handle[];
  /** What is changed in place. */
  readonly targets?: readonly Tensor[];
  run(): readonly Handle[];
}

export interface OpCase {
  /** Of the table that it stands in. */
  readonly part: string;
  readonly name: string;
  readonly op: OpName;
  readonly attrs: Readonly<Record<string, Attr>>;
  /** Calls with different operands, which take turns. */
  prepare(w: DeviceWeights, backend: Backend, random: Random): readonly OpCall[];
}

/** Calls beyond this many bring nothing: what is read once in so many calls is in no cache. */
const mostCalls = 32;
const adam = { beta1: 0.9, beta2: 0.95, eps: 1e-8, decay: 0.1 };
const eps = 1e-6;

export function opCases(size: OpSizes): OpCase[] {
  return [
    ...bandwidthCases(size),
    ...matvecCases(size),
    ...productCases(size),
    ...rowCases(size),
    ...attentionCases(size),
    ...expertCases(size),
  ];
}

/** As many calls as reach the spread. */
function several({ spread }: OpSizes, bytes: number, make: () => OpCall): OpCall[] {
  return Array.from({ length: Math.min(mostCalls, Math.max(1, Math.ceil(spread / bytes))) }, make);
}

function bandwidthCases(size: OpSizes): OpCase[] {
  const { elements } = size;
  return [
    {
      ...{ part: "elements", name: `neg [${elements}]`, op: "unary", attrs: { op: "neg" } },
      prepare: (_, backend) =>
        several(size, 8 * elements, () => {
          const x = fill(backend, [elements], 1);
          return { inputs: [x], run: () => [neg(x)] };
        }),
    },
    {
      ...{ part: "elements", name: `adamW [${elements / 4}]`, op: "adamW", attrs: adam },
      prepare: (_, backend) =>
        several(size, 4 * elements, () => {
          const [grad, ...targets] = [0.5, 1, 0, 0].map((value) => fill(backend, [elements / 4], value));
          const hyper = tensor(backend, [1e-3, 0.1, 0.05, 1]);
          const [param, mean, variance] = targets;
          const run = (): [] => (adamW(grad, hyper, param, mean, variance, adam), []);
          return { inputs: [grad, hyper], targets, run };
        }),
    },
  ];
}

/** How a matrix is stored, in bits per number, and how the rows that it multiplies are rounded. */
export type Packing = readonly [form: string, bits: number, activations: Activations];
export const packings: readonly Packing[] = [
  ["f32", 32, "f32"],
  ["f16", 16, "f32"],
  ["bf16", 16, "f32"],
  ["q8_0", 8.5, "f32"],
  ["q8_0", 8.5, "q8"],
  ["q4_0", 4.5, "f32"],
  ["q4_0", 4.5, "q8"],
];
const named = (form: string, activations: Activations): string => (activations === "q8" ? `${form}, x as q8` : form);

export function linearCase(
  part: string,
  size: OpSizes,
  [form, bits, activations]: Packing,
  shape: { readonly m: number; readonly n: number; readonly k: number },
): OpCase {
  const { m, n, k } = shape;
  return {
    ...{ part, name: `linear ${m}x${k}x${n} ${named(form, activations)}`, op: "linear", attrs: { activations } },
    prepare: (w) =>
      several(size, (n * k * bits) / 8, () => {
        const x = w.plain([m, k]);
        const weight = w.matrix([n, k], { scheme: schemes[form] });
        return { inputs: [x, weight, undefined], run: () => [linear(x, weight, undefined, { activations })] };
      }),
  };
}

function matvecCases(size: OpSizes): OpCase[] {
  const { matvec, hidden, heads, kvHeads, headDim } = size;
  const qkv = { m: 1, n: (heads + 2 * kvHeads) * headDim, k: hidden };
  return [
    ...packings.map((packing) => linearCase("one row", size, packing, { m: 1, n: matvec.rows, k: matvec.k })),
    // A layer's own matrix is so small that a launch shows.
    ...packings.slice(-2).map((packing) => linearCase("one row", size, packing, qkv)),
  ];
}

function productCases(size: OpSizes): OpCase[] {
  const { rows, width } = size.product;
  const square = { m: rows, n: width, k: width };
  const gradient: OpCase = {
    ...{ part: "many rows", name: `linearGrad ${rows}x${width}x${width} f32`, op: "linearGrad", attrs: {} },
    prepare(w) {
      const [x, weight, dy] = [w.plain([rows, width]), w.plain([width, width]), w.plain([rows, width])];
      return [{ inputs: [x, weight, dy], run: () => linearGrad(x, weight, dy, [true, true, false]) }];
    },
  };
  return [
    ...packings.map((packing) => linearCase("many rows", { ...size, spread: 0 }, packing, square)),
    ...[4, 16].map((m) => linearCase("many rows", size, packings[5], { m, n: size.matvec.rows, k: size.matvec.k })),
    gradient,
  ];
}

function rowCases(size: OpSizes): OpCase[] {
  const { rows, hidden, tokens, vocabulary } = size;
  /** Of `count` rows x and y, and a vector of their width. */
  const onRows = (
    name: string,
    op: OpName,
    [count, width]: readonly [count: number, width: number],
    call: (x: Tensor, y: Tensor, weight: Tensor) => OpCall,
    attrs: OpCase["attrs"] = {},
  ): OpCase => ({
    ...{ part: "by row", name: `${name} [${count},${width}]`, op, attrs },
    prepare: (w) =>
      several(size, 8 * count * width, () => {
        const [x, y, weight] = [w.plain([count, width]), w.plain([count, width]), w.plain([width])];
        return call(x, y, weight);
      }),
  });
  const rmsNormCall = (x: Tensor, _: Tensor, weight: Tensor): OpCall => ({
    inputs: [x, weight],
    run: () => [rmsNorm(x, weight, eps)],
  });
  const addRmsNormCall = (x: Tensor, y: Tensor, weight: Tensor): OpCall => ({
    inputs: [x, y, weight],
    run: () => Object.values(addRmsNorm(x, y, weight, eps)),
  });
  const softmaxCall = (x: Tensor): OpCall => ({ inputs: [x], run: () => [softmax(x)] });
  return [
    onRows("rmsNorm", "rmsNorm", [rows, hidden], rmsNormCall, { eps }),
    onRows("rmsNorm", "rmsNorm", [1, hidden], rmsNormCall, { eps }),
    onRows("addRmsNorm", "addRmsNorm", [rows, hidden], addRmsNormCall, { eps }),
    onRows("swiglu", "swiglu", [rows, 2 * hidden], (x) => ({ inputs: [x], run: () => [swiglu(x)] })),
    onRows("softmax", "softmax", [rows, tokens], softmaxCall),
    onRows("softmax", "softmax", [1, vocabulary], softmaxCall),
    ...[1, Math.min(256, vocabulary)].map((k) =>
      onRows(`topK ${k}`, "topK", [1, vocabulary], (x) => ({ inputs: [x], run: () => Object.values(topK(x, k)) }), {
        k,
      }),
    ),
    onRows("crossEntropy", "crossEntropy", [rows, vocabulary], (x) => {
      const targets = fill(x.backend, [rows], 1, { dtype: "i32" });
      return { inputs: [x, targets], run: () => [crossEntropy(x, targets)] };
    }),
  ];
}

function attentionCases(size: OpSizes): OpCase[] {
  const { tokens, held, heads, headDim } = size;
  const attrs = attentionAttrs(size);
  const shape = headsOf(size);
  return [
    {
      ...{ part: "attention", name: `attention of ${tokens} tokens, ${shape}`, op: "attention", attrs },
      prepare(w, backend) {
        const { queries, keys } = stepWithoutCache(backend, sequencePositions(1, tokens));
        const q = w.plain([1, tokens, heads, headDim]);
        const [k, v] = poolsOf(w, size, tokens);
        return [{ inputs: [q, k, v, queries, keys], run: () => [attention(q, k, v, queries, keys, attrs)] }];
      },
    },
    {
      ...{ part: "attention", name: `attentionGrad of ${tokens} tokens, ${shape}`, op: "attentionGrad", attrs },
      prepare(w, backend) {
        const { queries, keys } = stepWithoutCache(backend, sequencePositions(1, tokens));
        const [q, dy] = [w.plain([1, tokens, heads, headDim]), w.plain([1, tokens, heads, headDim])];
        const [k, v] = poolsOf(w, size, tokens);
        const y = attention(q, k, v, queries, keys, attrs);
        const inputs = [q, k, v, queries, keys, y, dy] as const;
        return [{ inputs, run: () => attentionGrad(...inputs, attrs, [true, true, true]) }];
      },
    },
    ...[held / 8, held].map((slots) => decodingCase(size, slots)),
  ];
}

/** Attention of one token over so many keys. */
export function decodingCase(size: OpSizes, slots: number): OpCase {
  const { heads, kvHeads, headDim } = size;
  const attrs = attentionAttrs(size);
  return {
    ...{ part: "attention", name: `attention of 1 token, ${slots} keys, ${headsOf(size)}`, op: "attention", attrs },
    prepare: (w, backend) =>
      several(size, 8 * slots * kvHeads * headDim, () => {
        const q = w.plain([1, 1, heads, headDim]);
        const [k, v] = poolsOf(w, size, slots);
        const queries = tensor(backend, Int32Array.of(slots - 1, 0, 0, slots), [1, 1, 4]);
        const rows = Int32Array.from({ length: 3 * slots }, (_, i) => (i % 3 === 1 ? 0 : Math.floor(i / 3)));
        const keys = tensor(backend, rows, [1, slots, 3]);
        return { inputs: [q, k, v, queries, keys], run: () => [attention(q, k, v, queries, keys, attrs)] };
      }),
  };
}

function attentionAttrs({ headDim }: OpSizes) {
  return { scale: headDim ** -0.5, causal: true, window: 0, sinks: 0, softcap: 0 };
}

function poolsOf(w: DeviceWeights, { kvHeads, headDim }: OpSizes, slots: number): readonly [k: Tensor, v: Tensor] {
  return [w.plain([slots, kvHeads, headDim]), w.plain([slots, kvHeads, headDim])];
}

function headsOf({ heads, kvHeads, headDim }: OpSizes): string {
  return `heads ${heads}/${kvHeads} of ${headDim}`;
}

function expertCases(size: OpSizes): OpCase[] {
  const { rows, experts, chosen } = size;
  const options = { k: chosen, score: "softmax", normalize: true, scale: 1 } as const;
  const routing: OpCase = {
    ...{ part: "experts", name: `route [${rows},${experts}] to ${chosen}`, op: "route", attrs: options },
    prepare(w) {
      const logits = w.plain([rows, experts]);
      return [{ inputs: [logits, undefined], run: () => Object.values(route(logits, undefined, options)) }];
    },
  };
  const counts = [rows, 1];
  return [routing, ...counts.flatMap((count) => [expertsCase(size, count, "f32"), expertsCase(size, count, "q8")])];
}

/** So many rows, each through experts of its own. */
export function expertsCase(size: OpSizes, count: number, activations: Activations): OpCase {
  const { hidden, experts: numExperts, chosen, moeIntermediate } = size;
  return {
    ...{ part: "experts", op: "expertMlp", attrs: { activations } },
    name: `expertMlp ${count}x${hidden}, ${chosen} of ${numExperts} of ${moeIntermediate}, ${named("q4_0", activations)}`,
    prepare(w, backend, random) {
      const scheme = schemes.q4_0;
      const gateUp = w.matrix([numExperts, 2 * moeIntermediate, hidden], { scheme });
      const down = w.matrix([numExperts, hidden, moeIntermediate], { scheme });
      const weights = fill(backend, [count, chosen], 1 / chosen);
      // All experts together are larger than a cache, so calls differ in whom they visit only.
      return Array.from({ length: count === 1 ? mostCalls : 1 }, () => {
        const x = w.plain([count, hidden]);
        const experts = tensor(backend, visited(random, count, size), [count, chosen]);
        const inputs = [x, gateUp, down, experts, weights] as const;
        return { inputs, run: () => [expertMlp(...inputs, { activations })] };
      });
    },
  };
}

/** Different experts for each row. */
function visited(random: Random, count: number, { experts, chosen }: OpSizes): Int32Array {
  return Int32Array.from(
    Array.from({ length: count }, () => {
      const all = Array.from({ length: experts }, (_, expert) => expert);
      return Array.from({ length: chosen }, () => all.splice(random.integer(all.length), 1)[0]);
    }).flat(),
  );
}
