// checkpoint(fn): the same gradients, bit for bit, out of less memory.
import {
  add, checkpoint, exp, linear, mul, rmsNorm, scope, softmax, stopGradient, sum, swiglu, tensor, valueAndGrad, writeSlice, zeros,
  type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { bits, expectNoLeak, normal, numbers } from "../tensor/numbers.js";

/** The backend with a memory that remembers its highest mark. */
function measured(backend: Backend): { readonly backend: Backend; peak(): number; reset(): void } {
  const { memory } = backend;
  let peak = 0;
  const counting = {
    alloc(byteLength: number) {
      const storage = memory.alloc(byteLength);
      peak = Math.max(peak, memory.usage().bytes);
      return storage;
    },
    free: memory.free.bind(memory),
    write: memory.write.bind(memory),
    read: memory.read.bind(memory),
    usage: () => memory.usage(),
  };
  const reset = (): void => void (peak = memory.usage().bytes);
  return { backend: { ...backend, memory: counting }, peak: () => peak, reset };
}

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});

const total = (x: Tensor): Tensor => sum(x, x.shape.map((_, axis) => axis)); // prettier-ignore

/** Eight residual blocks of 16 rows of 32, each with weights of its own and ten times its input in between. */
function stack(b: Backend) {
  const [D, I] = [32, 160];
  const params = new Map<string, Tensor>();
  const blocks = Array.from({ length: 8 }, (_, i) => {
    const make = (name: string, seed: number, shape: number[]): Tensor => {
      const made = normal(b, 10 * i + seed, shape, 0.2);
      params.set(`${i}.${name}`, made);
      return made;
    };
    const [norm, up, down] = [make("norm", 1, [D]), make("up", 2, [2 * I, D]), make("down", 3, [D, I])];
    return (x: Tensor): Tensor => add(x, linear(swiglu(linear(rmsNorm(x, norm, 1e-6), up)), down));
  });
  const x = normal(b, 99, [16, D]);
  const loss = (wrap: (block: (x: Tensor) => Tensor) => (x: Tensor) => Tensor): Tensor => {
    let y = mul(x, x);
    for (const block of blocks) {
      const former = y;
      y = wrap(block)(y);
      former.dispose();
    }
    return total(softmax(y));
  };
  return { params, loss };
}

describe("checkpoint", () => {
  test("gives the bits of the plain backward pass at a lower peak", async () => {
    const meter = measured(backend);
    const { params, loss } = stack(meter.backend);
    await expectNoLeak(meter.backend, async () => {
      meter.reset();
      const start = meter.peak();
      const plain = valueAndGrad(params, () => loss((block) => block));
      const peakPlain = meter.peak() - start;
      const own = [plain.value, ...plain.grads.values()];
      meter.reset();
      const between = meter.peak();
      const saving = valueAndGrad(params, () => loss((block) => checkpoint(block)));
      const peakSaving = meter.peak() - between;
      expect(await bits(saving.value)).toEqual(await bits(plain.value));
      for (const [name, grad] of plain.grads)
        expect(await bits(saving.grads.get(name) as Tensor), name).toEqual(await bits(grad));
      // A block holds 16 x (32 + 320 + 160 + 32) numbers in between, eight of them without checkpoints, one with; both hold the gradients.
      expect(peakPlain - peakSaving).toBeGreaterThan(5 * 16 * 512 * 4);
      for (const each of [...own, saving.value, ...saving.grads.values()]) each.dispose();
    });
  });

  test("several arguments, several results, one of them unused", async () => {
    const [p, q] = [normal(backend, 1, [3]), normal(backend, 2, [3])];
    const params = new Map([["p", p], ["q", q]]); // prettier-ignore
    const parts = (a: Tensor, b: Tensor): readonly Tensor[] => [mul(a, b), exp(a), add(mul(b, b), q)];
    const lossOf = (fn: typeof parts) => (): Tensor => {
      const [first, , third] = fn(p, q);
      return total(mul(first, third));
    };
    const plain = valueAndGrad(params, lossOf(parts));
    const saving = valueAndGrad(params, lossOf(checkpoint(parts)));
    for (const name of ["p", "q"]) {
      expect(await numbers(saving.grads.get(name) as Tensor)).toEqual(await numbers(plain.grads.get(name) as Tensor));
    }
  });

  test("nested, with stopGradient inside, and with the same argument twice", async () => {
    const p = normal(backend, 1, [4]);
    const inner = (a: Tensor, b: Tensor): Tensor => mul(exp(a), stopGradient(mul(b, p)));
    const outer = (wrap: (fn: typeof inner) => typeof inner) => (a: Tensor) => add(wrap(inner)(a, a), mul(a, p));
    const params = new Map([["p", p]]);
    const plain = valueAndGrad(params, () => total(outer((fn) => fn)(p)));
    const saving = valueAndGrad(params, () => total(checkpoint(outer(checkpoint))(p)));
    expect(await bits(saving.grads.get("p") as Tensor)).toEqual(await bits(plain.grads.get("p") as Tensor));
  });

  test("one that hands its argument on is the identity", async () => {
    const p = tensor(backend, [1, 2]);
    const { grads } = valueAndGrad(new Map([["p", p]]), () => total(mul(checkpoint((x: Tensor) => x)(p), p)));
    expect(await numbers(grads.get("p") as Tensor)).toEqual([2, 4]);
  });

  test("without a tape it is the function", async () => {
    const p = tensor(backend, [1, 2]);
    expect(await numbers(checkpoint((x: Tensor) => mul(x, x))(p))).toEqual([1, 4]);
  });

  test("an exception inside leaks nothing and leaves no tape behind", async () => {
    const p = normal(backend, 1, [4]);
    await expectNoLeak(backend, () => {
      const failing = checkpoint((x: Tensor): Tensor => {
        exp(mul(x, x));
        throw new Error("stop");
      });
      expect(() => valueAndGrad(new Map([["p", p]]), () => failing(p))).toThrow("stop");
      scope(() => writeSlice(p, zeros(backend, [4]), [0]));
    });
  });

  test("a writer inside is refused as outside", () => {
    const p = normal(backend, 1, [4]);
    const into = zeros(backend, [4]);
    const writing = checkpoint((x: Tensor): Tensor => {
      writeSlice(mul(x, x), into, [0]);
      return x;
    });
    expect(() => valueAndGrad(new Map([["p", p]]), () => total(writing(p)))).toThrow(/writeSlice/);
  });
});
