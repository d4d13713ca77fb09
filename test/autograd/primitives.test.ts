// The gradient of every primitive is its slope.
import {
  abs, add, bitcast, cast, concat, cos, div, exp, gatherRows, log, logSumExp, matmul, max, maximum, mean, min, minimum, mul, neg, permute,
  reshape, round, rsqrt, scan, select, sigmoid, sin, slice, sqrt, stopGradient, sub, sum, tanh, topK, valueAndGrad,
  type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { describe, expect, test } from "vitest";
import { sumTo } from "../../src/ops/reduce.js";
import { ints, mask } from "../tensor/numbers.js";
import { exact, f64, peek } from "./f64-backend.js";
import { expectSlopes, parameter, weighted } from "./slopes.js";

const backend = f64();
const x = (): Tensor => parameter(backend, 1, [2, 3, 4]);
/** Far from 0, for functions that bend there. */
const positive = (): Tensor => exact(backend, peek(x()).map((v) => 0.5 + Math.abs(v)), [2, 3, 4]); // prettier-ignore

describe("unary", () => {
  const onAll = { neg, abs, exp, sin, cos, sigmoid, tanh };
  const onPositive = { log, sqrt, rsqrt };
  test.each(Object.entries(onAll))("%s", (_, f) => {
    const p = x();
    expectSlopes({ p }, () => weighted(f(p)));
  });
  test.each(Object.entries(onPositive))("%s", (_, f) => {
    const p = positive();
    expectSlopes({ p }, () => weighted(f(p)));
  });
  test("round is flat: zeros, and no error", () => {
    const p = x();
    expectSlopes({ p }, () => weighted(add(round(p), p)));
    const { grads } = valueAndGrad(new Map([["p", p]]), () => weighted(round(p)));
    expect([...peek(grads.get("p") as Tensor)]).toEqual(Array(24).fill(0));
  });
});

describe("binary, on all ways to broadcast", () => {
  const ops = { add, sub, mul, div, minimum, maximum };
  const shapes: (readonly [readonly number[], readonly number[]])[] = [
    [[2, 3], [2, 3]],
    [[2, 3], [3]],
    [[3], [2, 3]],
    [[2, 1], [1, 3]],
    [[], [2, 2]],
    [[2, 2], []],
    [[1, 3, 1], [2, 1, 4]],
    [[1], [1, 1]],
  ]; // prettier-ignore
  test.each(Object.entries(ops))("%s", (_, f) => {
    for (const [a, b] of shapes) {
      const [p, q] = [parameter(backend, 3, a), exact(backend, peek(parameter(backend, 4, b)).map((v) => v + Math.sign(v)), b)]; // prettier-ignore
      expectSlopes({ p, q }, () => weighted(f(p, q)));
    }
  });
  test("an operand may be a number, or the same tensor twice", () => {
    const p = positive();
    expectSlopes({ p }, () => weighted(div(mul(p, p), add(p, 3))));
    expectSlopes({ p }, () => weighted(sub(p, p)));
  });
  test("of equal operands the first one takes the gradient of min and max: the parts sum to dy", () => {
    const [p, q] = [exact(backend, [2, 1], [2]), exact(backend, [2, 5], [2])];
    for (const f of [minimum, maximum]) {
      const { grads } = valueAndGrad(new Map([["p", p], ["q", q]]), () => sum(f(p, q))); // prettier-ignore
      const [dp, dq] = ["p", "q"].map((name) => peek(grads.get(name) as Tensor));
      expect([dp[0], dq[0]]).toEqual([1, 0]);
      expect(dp[1] + dq[1]).toBe(1);
    }
  });
});

describe("the other primitives", () => {
  const p = x();
  const table = parameter(backend, 5, [4, 3]);
  const [a, b, c] = [parameter(backend, 6, [2, 3, 4]), parameter(backend, 7, [2, 4, 5]), parameter(backend, 8, [3, 4])];
  const cases: Record<string, [Readonly<Record<string, Tensor>>, () => Tensor]> = {
    "sum, over no axis, one, some, all": [{ p }, () => add(add(weighted(sum(p, [])), weighted(sum(p))), add(weighted(sum(p, [0, 2])), weighted(sum(p, [0, 1, 2]))))], // prettier-ignore
    max: [{ p }, () => weighted(max(p, [1]))],
    min: [{ p }, () => weighted(min(p, [0, 2]))],
    mean: [{ p }, () => weighted(mean(p, [0, 1]))],
    logSumExp: [{ p }, () => weighted(logSumExp(p))],
    sumTo: [{ p }, () => weighted(sumTo(p, [3, 1]))],
    "scan, inclusive": [{ p }, () => weighted(scan(p, 1))],
    "scan, exclusive": [{ p }, () => weighted(scan(p, 2, { exclusive: true }))],
    permute: [{ p }, () => weighted(permute(p, [2, 0, 1]))],
    cast: [{ p }, () => weighted(cast(p, "f32"))],
    select: [{ c, table }, () => weighted(select(mask(backend, [1, 0, 1], [3, 1]), reshape(c, [1, 3, 4]), slice(reshape(table, [12]), [2], [4])))], // prettier-ignore
    "topK, values": [{ p }, () => weighted(topK(p, 3).values)],
    "gatherRows, with rows repeated, absent and out of range": [{ table }, () => weighted(gatherRows(table, ints(backend, [2, 2, -1, 0, 9, 2], [2, 3])))], // prettier-ignore
    "slice, a box": [{ p }, () => weighted(slice(p, [0, 1, 1], [2, 2, 3]))],
    "slice, leading (an alias)": [{ p }, () => weighted(slice(p, [1, 0, 0], [1, 3, 4]))],
    "reshape (an alias)": [{ p }, () => weighted(mul(reshape(p, [4, 6]), reshape(p, [4, 6])))],
    "aliases of aliases": [{ p }, () => weighted(exp(slice(reshape(slice(p, [1, 0, 0], [1, 3, 4]), [6, 2]), [2, 0], [3, 2])))], // prettier-ignore
    "concat, one operand twice": [{ c, table }, () => weighted(concat([c, permute(table, [1, 0]), c], 1))],
    "matmul": [{ c, table }, () => weighted(matmul(c, table))],
    "matmul, of batches": [{ a, b }, () => weighted(matmul(a, b))],
    "matmul, a transposed": [{ a, c }, () => weighted(matmul(reshape(a, [3, 8]), c, { transposeA: true }))],
    "matmul, b transposed": [{ a, c }, () => weighted(matmul(reshape(a, [6, 4]), c, { transposeB: true }))],
    "matmul, both, of batches": [{ a, b }, () => weighted(matmul(permute(a, [0, 2, 1]), permute(b, [0, 2, 1]), { transposeA: true, transposeB: true }))], // prettier-ignore
    "matmul with itself": [{ c }, () => weighted(matmul(c, c, { transposeB: true }))],
  }; // prettier-ignore
  test.each(Object.entries(cases))("%s", (_, [params, loss]) => expectSlopes(params, loss));

  test("equal extremes share the gradient", () => {
    const tied = exact(backend, [3, 1, 3], [3]);
    const { grads } = valueAndGrad(new Map([["p", tied]]), () => max(tied));
    expect([...peek(grads.get("p") as Tensor)]).toEqual([0.5, 0, 0.5]);
  });

  test("indices, bits and what stopGradient returns are constants", () => {
    const params = new Map([["p", p]]);
    const constants = {
      stopGradient: () => stopGradient(p),
      bitcast: () => bitcast(bitcast(p, "u32"), "f32"),
      "topK indices": () => cast(topK(p, 2).indices, "f32"),
    };
    for (const [name, constant] of Object.entries(constants)) {
      // The product rule with one factor held: the gradient is the factor, not twice the number.
      const { grads } = valueAndGrad(params, () =>
        sum(mul(slice(p, [0, 0, 0], [2, 3, 2]), cut(constant())), [0, 1, 2]),
      );
      const factor = peek(cut(constant()));
      const got = peek(slice(grads.get("p") as Tensor, [0, 0, 0], [2, 3, 2]));
      expect([...got], name).toEqual([...factor]);
    }
  });
});

const cut = (y: Tensor): Tensor => slice(y, [0, 0, 0], [2, 3, 2]);
