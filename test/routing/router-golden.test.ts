// Routers against what transformers computes (test/golden/routing.py): Qwen3-MoE, DeepSeek-V3 with and without groups, Switch with a capacity.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { CapacityRouter, SigmoidRouter, tensor, TopKRouter, type Backend, type Router } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { expectWithin, numbers, u } from "../tensor/numbers.js";

interface Golden {
  readonly name: string;
  readonly router: "qwen3_moe" | "deepseek_v3" | "switch_transformers";
  readonly options: Record<string, never>;
  readonly shape: readonly [B: number, T: number, E: number];
  readonly logits: readonly number[];
  readonly bias?: readonly number[];
  readonly experts: readonly number[];
  readonly weights: readonly number[];
}
const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "../golden/routing.json"), "utf8")) as Golden[];

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});

function routerOf({ router, options, shape: [, T, E], bias }: Golden): Router {
  if (router === "qwen3_moe") return new TopKRouter({ ...options } as never);
  if (router === "deepseek_v3") {
    return new SigmoidRouter({ ...(options as object), eScoreCorrectionBias: tensor(backend, bias ?? []) } as never);
  }
  // Half a token less than the capacity in tokens, which the factor's rounding up makes whole again.
  const capacityFactor = ((options.capacity - 0.5) * E) / T;
  return new CapacityRouter(new TopKRouter({ numExpertsPerTok: 1, normTopkProb: false }), { capacityFactor });
}

describe.each(golden)("$name", (one) => {
  test("experts and weights", async () => {
    const { experts, weights } = routerOf(one).route(tensor(backend, one.logits, one.shape));
    expect(await numbers(experts)).toEqual(one.experts);
    // Softmax or sigmoid within 4 roundings, the sum of k terms, the quotient and the factor, on both sides.
    const k = one.experts.length / (one.shape[0] * one.shape[1]);
    expectWithin(await numbers(weights), one.weights, one.weights.map((w) => 2 * (6 + k) * u * w)); // prettier-ignore
  });
});

test("every reference is among them, and something is dropped", () => {
  expect(new Set(golden.map(({ router }) => router)).size).toBe(3);
  expect(golden.some(({ experts }) => experts.includes(-1))).toBe(true);
});
