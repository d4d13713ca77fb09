// Noise: its distribution, what it touches and what not, and that a stored state repeats it.
import {
  CapacityRouter, ConfigError, NoisyRouter, Random, record, SigmoidRouter, tensor, TopKRouter, zeros, type Backend, type Router,
  type Routing, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { mask, normals, numbers, u } from "../tensor/numbers.js";

let backend: Backend;
beforeAll(async () => {
  backend = await cpu();
});
const inner = new TopKRouter({ numExpertsPerTok: 2, normTopkProb: true });
/** Keeps the logits that it was given. */
class Seeing implements Router {
  readonly rowWise = true;
  seen: Tensor | undefined;

  route(logits: Tensor, rowMask?: Tensor): Routing {
    this.seen = logits;
    return inner.route(logits, rowMask);
  }
}

describe("NoisyRouter", () => {
  test("multiplies by 1 + jitter times a uniform number, then adds a normal one, and shows the raw logits", async () => {
    const z = normals(1, 60);
    const logits = tensor(backend, z, [2, 5, 6]);
    const seeing = new Seeing();
    const noisy = new NoisyRouter(seeing, { random: new Random(7), noise: 0.5, jitter: 0.25 });
    expect(noisy.route(logits).logits).toBe(logits);
    const random = new Random(7);
    const factors = z.map(() => Math.fround(1 + 0.25 * (2 * random.uniform() - 1)));
    const expected = z.map((x, i) => x * factors[i] + Math.fround(0.5 * random.normal()));
    const seen = await numbers(seeing.seen!);
    seen.forEach((x, i) => expect(Math.abs(x - expected[i])).toBeLessThan(4 * u * (Math.abs(z[i]) * 2 + 2)));
    expect(factors.every((f) => f >= 0.75 && f <= 1.25)).toBe(true);
    expect(Math.max(...factors) - Math.min(...factors)).toBeGreaterThan(0.4);
  });

  test("draws anew at each call; the same state draws the same", async () => {
    const logits = zeros(backend, [1, 8, 6]);
    const random = new Random(3);
    const noisy = new NoisyRouter(inner, { random, noise: 1 });
    const first = await numbers(noisy.route(logits).experts);
    const { state } = random;
    const second = await numbers(noisy.route(logits).experts);
    expect(second).not.toEqual(first);
    const again = new NoisyRouter(inner, { random: Random.fromState(state), noise: 1 });
    expect(await numbers(again.route(logits).experts)).toEqual(second);
  });

  test("off, or of size 0, it routes as the router in it and draws nothing", async () => {
    const logits = tensor(backend, normals(2, 24), [1, 4, 6]);
    const random = new Random(5);
    const off = new NoisyRouter(inner, { random, noise: 1 });
    off.active = false;
    const none = new NoisyRouter(inner, { random });
    const expected = inner.route(logits);
    for (const router of [off, none]) {
      const found = router.route(logits);
      expect(await numbers(found.weights)).toEqual(await numbers(expected.weights));
      expect(await numbers(found.experts)).toEqual(await numbers(expected.experts));
    }
    expect(random.state.counter).toBe(0);
    expect([off.rowWise, none.rowWise]).toEqual([true, false]);
  });

  test("hands masks in and what a capacity needs to know out", async () => {
    const sigmoid = new SigmoidRouter({ numExpertsPerTok: 2, normTopkProb: true, routedScalingFactor: 2.5 });
    const noisy = new NoisyRouter(sigmoid, { random: new Random(1), noise: 0.1 });
    const router = new CapacityRouter(noisy, { capacityFactor: 0.5 });
    const logits = tensor(backend, [2, 1, 0, 9, 9, 9, 0, 2, 1], [1, 3, 3]);
    const { weights, experts } = router.route(logits, mask(backend, [1, 0, 1], [1, 3]));
    // ceil(3 x 2 x 0.5 / 3) = 1: the third token keeps one expert, at 2.5.
    expect(await numbers(experts)).toEqual([0, 1, -1, -1, -1, 2]);
    expect((await numbers(weights))[5]).toBe(2.5);
  });

  test("refuses to be recorded: each run would have the same noise", () => {
    const logits = zeros(backend, [1, 2, 6]);
    const noisy = new NoisyRouter(inner, { random: new Random(1), noise: 1 });
    expect(() => record(backend, () => noisy.route(logits).weights)).toThrow(/record/i);
  });

  test("refuses no router and no generator", () => {
    expect(() => new NoisyRouter(undefined as never, { random: new Random(1) })).toThrow(/a router must be given/);
    expect(() => new NoisyRouter(inner, {} as never)).toThrow(/random must be given as a Random/);
  });

  const bad: Record<string, object> = {
    "negative noise": { noise: -1 },
    "jitter above 1": { jitter: 1.5 },
    "noise NaN": { noise: NaN },
  };
  test.each(Object.entries(bad))("refuses %s", (_, options) => {
    expect(() => new NoisyRouter(inner, { random: new Random(1), ...options })).toThrow(ConfigError);
  });
});
