// The output gate against transformers' Qwen3NextAttention (test/golden/qwen3_next.py): output, and the gradient of input and every weight.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  Attention, disposeAll, mul, parameters, sequencePositions, sum, tensor, valueAndGrad, weightsFrom, type Backend, type Weights,
} from "qwen-blocks"; // prettier-ignore
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { qwen3Names } from "../../src/io/qwen3-names.js";
import { availableBackends } from "../available-backends.js";
import { numbers } from "../tensor/numbers.js";

interface Golden {
  readonly config: Readonly<
    Record<"hidden_size" | "num_attention_heads" | "num_key_value_heads" | "head_dim" | "rms_norm_eps", number>
  >;
  readonly rows: number;
  readonly tokens: number;
  readonly weights: Readonly<Record<string, readonly number[]>>;
  readonly x: readonly number[];
  readonly dy: readonly number[];
  readonly expected: Readonly<Record<string, { readonly value: readonly number[]; readonly distance: number }>>;
}
const path = resolve(import.meta.dirname, "../golden/qwen3-next-attention.json");
const golden = JSON.parse(readFileSync(path, "utf8")) as Golden;
const { config, rows, tokens, expected } = golden;
const heads = { numAttentionHeads: config.num_attention_heads, numKeyValueHeads: config.num_key_value_heads, headDim: config.head_dim }; // prettier-ignore
const names = qwen3Names(heads);

/** The names in the checkpoint of what is joined in a parameter. */
const piecesOf = (path: string, shape: readonly number[]): string[] =>
  names
    .write(`layers.0.selfAttn.${path}`, shape, "fused")
    .map(({ key }) => key.replace("model.layers.0.self_attn.", ""));

/** Norms are stored less 1. */
const weightsOn = (backend: Backend): Weights =>
  weightsFrom(backend, (path, shape) => {
    const data = piecesOf(path, shape).flatMap((key) => golden.weights[key]);
    return tensor(backend, path.endsWith("Norm.weight") ? data.map((weight) => weight + 1) : data, shape);
  });

describe.each(availableBackends)("$name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend[Symbol.asyncDispose]());

  test("is Qwen3-Next's, forward and backward", async () => {
    const block = new Attention(weightsOn(backend), {
      ...heads,
      hiddenSize: config.hidden_size,
      rmsNormEps: config.rms_norm_eps,
      qkNorm: true,
      attentionBias: true,
      outputGate: true,
      rope: { ropeType: "default", ropeTheta: 100, partialRotaryFactor: 0.25 },
    });
    const shape = [rows, tokens, config.hidden_size];
    const [x, dy] = [tensor(backend, golden.x, shape), tensor(backend, golden.dy, shape)];
    const params = new Map([["x", x], ...parameters(block)]);
    const { value, grads } = valueAndGrad(params, () => {
      const y = block.forward(x, { positions: sequencePositions(rows, tokens) });
      return { y, loss: sum(mul(y, dy), [0, 1, 2]) };
    });
    expectGolden(["y"], await numbers(value.y));
    for (const [path, grad] of grads)
      expectGolden(path === "x" ? ["x"] : piecesOf(path, grad.shape), await numbers(grad));
    expect(grads.size).toBe(7);
    disposeAll({ block, x, dy, ...value, grads: [...grads.values()] });
  });
});

/** The tolerance of all golden numbers (test/golden/README.md), for each of what is joined. */
function expectGolden(names: readonly string[], got: readonly number[]): void {
  let from = 0;
  for (const name of names) {
    const { value, distance } = expected[name];
    const largest = Math.max(...value.map(Math.abs));
    const allowed = 4 * distance + 8 * 2 ** (Math.floor(Math.log2(largest)) - 23);
    const off = Math.max(...value.map((v, i) => Math.abs(v - got[from + i])));
    expect(off, `${name}, off by ${off}`).toBeLessThanOrEqual(allowed);
    from += value.length;
  }
  expect(got).toHaveLength(from);
}
