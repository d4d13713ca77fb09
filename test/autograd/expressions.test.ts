// Gradients of what is made of several ops: shared parts, fused ops by their rules and by their composites, and a whole model.
import {
  add, addRmsNorm, attention, combineExperts, crossEntropy, expertLinear, expertMlp, linear, loadBalancingLoss, mean, mul, parameters,
  qkNormRope, Qwen3, reshape, rmsNorm, rope, route, routerZLoss, softmax, sum, swiglu, tensor, valueAndGrad,
  type Backend, type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { describe, expect, test } from "vitest";
import { ambient, withTape } from "../../src/tensor/ambient.js";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { ints, numbers, u } from "../tensor/numbers.js";
import { exact, f64, peek } from "./f64-backend.js";
import { expectSlopes, parameter, weighted } from "./slopes.js";

const backend = f64();
const of = (seed: number, ...shape: number[]): Tensor => parameter(backend, seed, shape);

/** Runs `fn` as if no op had a rule of its own: every composite is replayed. */
function withoutRules<T>(fn: () => T): T {
  const tape = ambient.tape;
  if (!tape) return fn();
  return withTape(
    {
      ran: (entry) => tape.ran(entry.composite ? { ...entry, gradient: undefined } : entry),
      wrote: (name, inputs) => tape.wrote(name, inputs),
    },
    fn,
  );
}

/** One token per row of a table of 6 positions, cosines then sines. */
const angles = Array.from({ length: 6 }, (_, row) => [row * 0.3, row * 0.07]).flatMap((a) => [...a.map(Math.cos), ...a.map(Math.sin)]); // prettier-ignore
const rows = ints(backend, [0, 2, 3, 5, 1, 4], [2, 3]);
const queries = ints(backend, [0, 0, 0, 3, 1, 0, 0, 3, 2, 7, 0, 3, -1, 0, 0, 3, 0, 0, 0, 3, 1, 0, 0, 3], [2, 3, 4]);
const keys = ints(backend, [0, 0, 0, 1, 0, 1, 2, 7, 2, -1, 0, 3, 0, 0, 4, 1, 0, 5], [2, 3, 3]);
const attrs = { scale: 0.6, causal: true, window: 0, sinks: 0, softcap: 0 };
const slots = ints(backend, [0, 2, 1, 1, -1, 0], [3, 2]);

/** Every fused op that carries a gradient. */
const fused: Record<string, () => [Readonly<Record<string, Tensor>>, () => Tensor]> = {
  linear: () => {
    const [x, w, b] = [of(1, 2, 3, 4), of(2, 5, 4), of(3, 5)];
    return [{ x, w, b }, () => weighted(linear(x, w, b))];
  },
  rmsNorm: () => {
    const [x, w] = [of(1, 2, 3, 4), of(2, 4)];
    return [{ x, w }, () => weighted(rmsNorm(x, w, 1e-2))];
  },
  addRmsNorm: () => {
    const [x, r, w] = [of(1, 3, 4), of(2, 3, 4), of(3, 4)];
    return [{ x, r, w }, () => {
      const { sum, y } = addRmsNorm(x, r, w, 1e-2);
      return add(weighted(sum, 5), weighted(y, 6));
    }]; // prettier-ignore
  },
  "addRmsNorm, its sum unused": () => {
    const [x, w] = [of(1, 3, 4), of(3, 4)];
    return [{ x, w }, () => weighted(addRmsNorm(x, x, w, 1e-2).y)];
  },
  softmax: () => {
    const x = of(1, 3, 5);
    return [{ x }, () => weighted(softmax(x))];
  },
  swiglu: () => {
    const x = of(1, 3, 6);
    return [{ x }, () => weighted(swiglu(x))];
  },
  rope: () => {
    const x = of(1, 2, 3, 2, 6);
    const table = exact(backend, angles, [6, 4]);
    return [{ x }, () => add(weighted(rope(x, table, rows)), weighted(rope(x, table, rows, { layout: "interleaved", inverse: true }), 4))]; // prettier-ignore
  },
  qkNormRope: () => {
    const [qkv, q, k] = [of(1, 2, 3, 4 * 6), of(2, 6), of(3, 6)];
    const table = exact(backend, angles, [6, 4]);
    return [{ qkv, q, k }, () => {
      const y = qkNormRope(qkv, q, k, table, rows, { numHeads: 2, numKvHeads: 1, eps: 1e-2 });
      return add(add(weighted(y.q, 5), weighted(y.k, 6)), weighted(y.v, 7));
    }]; // prettier-ignore
  },
  attention: () => {
    const [q, k, v] = [of(1, 2, 3, 4, 2), of(2, 6, 2, 2), of(3, 6, 2, 2)];
    return [{ q, k, v }, () => weighted(attention(q, k, v, queries, keys, attrs))];
  },
  "attention, capped, one pool for k and v": () => {
    const [q, kv] = [of(1, 2, 3, 2, 4), of(2, 6, 1, 4)];
    const options = { ...attrs, window: 2, softcap: 1.5, causal: false };
    return [{ q, kv }, () => weighted(attention(q, kv, kv, queries, keys, options))];
  },
  "route, softmax": () => {
    const x = of(1, 4, 5);
    return [{ x }, () => weighted(route(x, undefined, { k: 2, score: "softmax", normalize: false, scale: 1 }).weights)];
  },
  "route, normalised": () => {
    const x = of(1, 4, 5);
    return [{ x }, () => weighted(route(x, undefined, { k: 3, score: "softmax", normalize: true, scale: 2 }).weights)];
  },
  "route, sigmoid": () => {
    const [x, bias] = [of(1, 4, 5), of(2, 5)];
    return [{ x }, () => weighted(route(x, bias, { k: 2, score: "sigmoid", normalize: true, scale: 1 }).weights)];
  },
  expertLinear: () => {
    const [x, w] = [of(1, 3, 4), of(2, 3, 5, 4)];
    return [{ x, w }, () => weighted(expertLinear(x, w, slots))];
  },
  "expertLinear, a row of x per slot": () => {
    const [x, w] = [of(1, 3, 2, 4), of(2, 3, 5, 4)];
    return [{ x, w }, () => weighted(expertLinear(x, w, slots))];
  },
  combineExperts: () => {
    const [x, w] = [of(1, 3, 2, 4), of(2, 3, 2)];
    return [{ x, w }, () => weighted(combineExperts(x, w))];
  },
  expertMlp: () => {
    const [x, up, down, w] = [of(1, 3, 4), of(2, 3, 4, 4), of(3, 3, 4, 2), of(4, 3, 2)];
    return [{ x, up, down, w }, () => weighted(expertMlp(x, up, down, slots, w))];
  },
  crossEntropy: () => {
    const x = of(1, 4, 5);
    return [{ x }, () => weighted(crossEntropy(x, ints(backend, [0, -100, 4, 4])))];
  },
};

describe("fused ops", () => {
  test.each(Object.entries(fused))("%s: the rule is the slope", (_, make) => {
    const [params, loss] = make();
    expectSlopes(params, loss, { directions: 4 });
  });
  test.each(Object.entries(fused))("%s: so is the replayed composite", (_, make) => {
    const [params, loss] = make();
    expectSlopes(params, () => withoutRules(loss), { directions: 4 });
  });
});

describe("shared parts", () => {
  test("paths meet and add up, through aliases, in any number", () => {
    const p = of(1, 3, 4);
    expectSlopes({ p }, () => {
      const twice = mul(p, p);
      const shared = softmax(add(twice, p));
      return add(weighted(mul(shared, twice)), weighted(add(reshape(shared, [12]), reshape(p, [12]))));
    });
  });
  test("one tensor under two names has one gradient under both", () => {
    const p = of(1, 3);
    const same = p.retain();
    const { grads } = valueAndGrad(new Map([["a", p], ["b", same]]), () => sum(mul(p, same))); // prettier-ignore
    const twice = [...peek(p)].map((v) => 2 * v);
    expect([...peek(grads.get("a") as Tensor)]).toEqual(twice);
    expect([...peek(grads.get("b") as Tensor)]).toEqual(twice);
    grads.get("a")?.dispose();
    expect([...peek(grads.get("b") as Tensor)]).toEqual(twice);
  });
  test("a tied head collects both uses of its matrix", () => {
    const [table, x] = [of(1, 4, 3), of(2, 2, 3)];
    expectSlopes({ table, x }, () => weighted(linear(add(x, linear(linear(x, table), reshape(table, [3, 4]))), table)));
  });
});

describe("a whole model", () => {
  const ids = [[1, 5, 2, 7], [3, 3, 0, 6]]; // prettier-ignore
  const lossOf = (model: Qwen3, b: Backend): Tensor => {
    const routings = new Map<number, Routing>();
    const logits = model.forward(ids, { routings });
    const ce = crossEntropy(reshape(logits, [8, 11]), tensor(b, [5, 2, 7, -100, 3, 0, 6, -100], [8], "i32"));
    const aux = add(mul(loadBalancingLoss(routings), 0.3), mul(routerZLoss(routings), 0.1));
    return add(reshape(mean(ce), []), aux);
  };

  test.each([
    ["untied, one dense layer", { mlpOnlyLayers: [0] }],
    ["tied, with biases, raw weights", { tieWordEmbeddings: true, attentionBias: true, normTopkProb: false }],
  ])("every parameter's gradient is its slope: %s", (_, change) => {
    const model = new Qwen3(livelyWeights(backend, 3), tinyConfig(change));
    const params = Object.fromEntries(parameters(model));
    expectSlopes(params, () => lossOf(model, backend), { directions: 1, h: 1e-5 });
  });

  test("rules, native kernels and replayed composites give the same gradients", async () => {
    const native = await cpu();
    const model = new Qwen3(livelyWeights(native, 3), tinyConfig());
    const params = parameters(model);
    const byRule = valueAndGrad(params, () => lossOf(model, native));
    const byComposite = valueAndGrad(params, () => withoutRules(() => lossOf(model, native)));
    const inF64 = new Qwen3(livelyWeights(backend, 3), tinyConfig());
    const truth = valueAndGrad(parameters(inF64), () => lossOf(inF64, backend));
    let largest = 0;
    for (const [name, grad] of truth.grads) {
      const expected = peek(grad);
      // A gradient passes through at most 2 layers x 30 ops forward and as many back, each rounding once: 120 u of the largest element
      // of the parameter's gradient and of what flows beside it (the loss's own scale, 1).
      const scale = Math.max(1, ...expected.map(Math.abs));
      for (const { grads } of [byRule, byComposite]) {
        const got = await numbers(grads.get(name) as Tensor);
        largest = Math.max(largest, ...got.map((g, i) => Math.abs(g - expected[i]) / scale));
      }
    }
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThanOrEqual(120 * u);
  });
});
