// What valueAndGrad returns, refuses, and leaves behind.
import {
  add, addRmsNorm, exp, fill, GradientError, linear, mul, PackedTensor, reshape, scatterRows, scope, stopGradient, sum, tensor,
  valueAndGrad, writeSlice, zeros, type Backend, type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { schemes } from "../../src/quant/schemes/schemes.js";
import { expectNoLeak, ints, normal, numbers, usage } from "../tensor/numbers.js";

let backend: Backend;
let p: Tensor;
let params: Map<string, Tensor>;
beforeEach(async () => {
  backend = await cpu();
  p = tensor(backend, [1, 2, 3]);
  params = new Map([["p", p]]);
});
const total = (x: Tensor): Tensor => sum(x, x.shape.map((_, axis) => axis)); // prettier-ignore
const grad = (grads: Map<string, Tensor>, name = "p"): Promise<number[]> => numbers(grads.get(name) as Tensor);

function thrown(fn: () => unknown): Error {
  try {
    fn();
  } catch (error) {
    expect(error).toBeInstanceOf(GradientError);
    expect(error).toMatchObject({ code: "GRADIENT", name: "GradientError" });
    return error as Error;
  }
  return expect.fail("nothing was thrown");
}

describe("results", () => {
  test("value and gradient belong to the caller, and nothing else stays", async () => {
    await expectNoLeak(backend, async () => {
      const { value, grads } = valueAndGrad(params, () => total(mul(p, p)));
      expect(await numbers(value)).toEqual([14]);
      expect(await grad(grads)).toEqual([2, 4, 6]);
      value.dispose();
      for (const each of grads.values()) each.dispose();
    });
  });

  test("other results beside the loss are kept too", async () => {
    await expectNoLeak(backend, async () => {
      const { value, grads } = valueAndGrad(params, () => {
        const y = mul(p, p);
        return { loss: total(y), seen: [y], step: 7 };
      });
      expect(value.step).toBe(7);
      expect(await numbers(value.seen[0])).toEqual([1, 4, 9]);
      for (const each of [value.loss, value.seen[0], ...grads.values()]) each.dispose();
    });
  });

  test("a parameter that nothing uses, or only behind stopGradient, gets zeros of its shape", async () => {
    const q = normal(backend, 1, [2, 2]);
    const r = tensor(backend, [5, 5, 5]);
    const { grads } = valueAndGrad(new Map([["p", p], ["q", q], ["r", r]]), () => total(mul(p, stopGradient(r)))); // prettier-ignore
    expect([...grads.keys()]).toEqual(["p", "q", "r"]);
    expect(grads.get("q")?.shape).toEqual([2, 2]);
    expect(await grad(grads, "q")).toEqual([0, 0, 0, 0]);
    expect(await grad(grads, "r")).toEqual([0, 0, 0]);
    expect(await grad(grads, "p")).toEqual([5, 5, 5]);
  });

  test("the loss may be the parameter itself", async () => {
    const one = tensor(backend, [4], []);
    const { value, grads } = valueAndGrad(new Map([["p", one]]), () => one);
    expect(await numbers(value)).toEqual([4]);
    expect(await grad(grads)).toEqual([1]);
  });

  test("gradients through a packed, frozen matrix reach what is behind it", async () => {
    const data = new Float32Array([1, 2, 3, 4, 5, 6]);
    const parts = schemes.f16.encode(data, [2, 3]).map((words) => tensor(backend, words, [2, words.length / 2]));
    const packed = new PackedTensor(schemes.f16, [2, 3], "plain", parts);
    const { grads } = valueAndGrad(params, () => total(linear(reshape(p, [1, 3]), packed)));
    expect(await grad(grads)).toEqual([5, 7, 9]);
  });

  test("scopes inside may close: the tape keeps what it needs and lets go of it", async () => {
    await expectNoLeak(backend, async () => {
      const { value, grads } = valueAndGrad(params, () => scope(() => total(scope(() => exp(mul(p, p))))));
      expect((await grad(grads)).map((g) => g > 0)).toEqual([true, true, true]);
      value.dispose();
      grads.get("p")?.dispose();
    });
  });

  test("a tape never sees what ran before or after it", async () => {
    const before = mul(p, p);
    const { grads } = valueAndGrad(params, () => total(mul(before, p)));
    total(mul(p, p));
    expect(await grad(grads)).toEqual([1, 4, 9]);
  });
});

describe("a loss that has no gradient", () => {
  const losses: Record<string, [() => Tensor, RegExp]> = {
    "more than one number": [() => mul(p, p), /one f32 number, got f32\[3\]; reduce it with sum or mean over all axes/],
    integers: [() => ints(backend, [1], []), /f32/],
    "independent of every parameter": [() => total(normal(backend, 1, [3])), /depend/],
    "behind stopGradient": [() => stopGradient(total(p)), /depend/],
    "made before": [() => outside, /depend/],
  };
  let outside: Tensor;
  test.each(Object.entries(losses))("%s is a GradientError and leaks nothing", async (_, [loss, words]) => {
    outside = total(p);
    await expectNoLeak(backend, () => {
      expect(thrown(() => valueAndGrad(params, loss)).message).toMatch(words);
    });
  });

  test("an exception inside fn passes through and leaks nothing; the tape is gone", async () => {
    await expectNoLeak(backend, () => {
      const failing = (): Tensor => {
        total(exp(mul(p, p)));
        throw new RangeError("mine");
      };
      expect(() => valueAndGrad(params, failing)).toThrow(RangeError);
    });
    writeSlice(p, zeros(backend, [3]), [0]); // no tape is left to object
  });

  test("a kernel that fails in the backward pass leaks nothing", async () => {
    const broken = { ...backend, kernels: { ...backend.kernels, linearGrad: () => expect.fail("broken kernel") } };
    const [q, w] = [tensor(broken, [1, 2, 3], [1, 3]), tensor(broken, [1, 2, 3, 4, 5, 6], [2, 3])];
    await expectNoLeak(backend, () => {
      const loss = (): Tensor => total(exp(linear(mul(q, q), w)));
      expect(() => valueAndGrad(new Map([["q", q], ["w", w]]), loss)).toThrow("broken kernel"); // prettier-ignore
    });
  });
});

describe("writers and gradients", () => {
  const overwrites: Record<string, [(x: Tensor) => void, string]> = {
    writeSlice: [(x) => writeSlice(zeros(backend, [1]), x, [1]), "writeSlice"],
    scatterRows: [(x) => scatterRows(zeros(backend, [1]), ints(backend, [0]), x, "set"), "scatterRows"],
    "a host write": [(x) => x.write(new Float32Array(1)), "write"],
    "a write through an alias": [(x) => reshape(x, [1, 3]).write(new Float32Array(1)), "write"],
  };
  test.each(Object.entries(overwrites))("%s to an operand names both ops", async (_, [overwrite, name]) => {
    const factor = tensor(backend, [1, 2, 3]);
    await expectNoLeak(backend, () => {
      for (const operand of [factor, p]) {
        const error = thrown(() =>
          valueAndGrad(params, () => {
            const y = mul(p, factor);
            scope(() => overwrite(operand));
            return total(y);
          }),
        );
        expect(error.message).toContain("binary");
        expect(error.message).toContain(name);
      }
    });
  });

  test("so does a write to a result that the rule reads: the slope of exp is its value", () => {
    const loss = (): Tensor => {
      const y = exp(p);
      writeSlice(fill(backend, [3], 5), y, [0]);
      return total(y);
    };
    const { message } = thrown(() => valueAndGrad(params, loss));
    expect(message).toContain("unary");
    expect(message).toContain("writeSlice");
  });

  test("and one to a fused op's result", () => {
    const w = tensor(backend, [1, 1, 1]);
    const loss = (): Tensor => {
      const { sum, y } = addRmsNorm(p, p, w, 1e-6);
      sum.write(new Float32Array([9, 9, 9]));
      return total(y);
    };
    expect(thrown(() => valueAndGrad(params, loss)).message).toContain("addRmsNorm");
  });

  test("and one to the parts of a packed operand", () => {
    const parts = schemes.f16.encode(new Float32Array(6).fill(1), [2, 3]).map((words) => tensor(backend, words, [2, words.length / 2])); // prettier-ignore
    const packed = new PackedTensor(schemes.f16, [2, 3], "plain", parts);
    const loss = (): Tensor => {
      const y = linear(reshape(p, [1, 3]), packed);
      packed.parts[0].write(new Uint32Array(1));
      return total(y);
    };
    expect(thrown(() => valueAndGrad(params, loss)).message).toContain("linear");
  });

  test("writing before the read, or to what no gradient needs, is fine", async () => {
    const factor = zeros(backend, [3]);
    const scratch = zeros(backend, [3]);
    const { grads } = valueAndGrad(params, () => {
      factor.write(new Float32Array([2, 2, 2]));
      const y = mul(p, factor);
      scratch.write(new Float32Array([1, 1, 1]));
      return total(y);
    });
    expect(await grad(grads)).toEqual([2, 2, 2]);
  });

  test("a writer whose source depends on a parameter is refused, its target untouched", async () => {
    const into = zeros(backend, [2, 3]);
    const writers: Record<string, (y: Tensor) => void> = {
      writeSlice: (y) => writeSlice(reshape(y, [1, 3]), into, [0, 0]),
      scatterRows: (y) => scatterRows(reshape(y, [1, 3]), ints(backend, [1]), into, "add"),
    };
    for (const [name, write] of Object.entries(writers)) {
      const loss = (): Tensor => {
        const y = mul(p, p);
        write(y);
        return total(y);
      };
      expect(thrown(() => valueAndGrad(params, loss)).message).toContain(name);
      expect(await numbers(into), name).toEqual([0, 0, 0, 0, 0, 0]);
    }
  });

  test("behind stopGradient it may write", async () => {
    const into = zeros(backend, [3]);
    const { grads } = valueAndGrad(params, () => {
      const y = mul(p, p);
      writeSlice(stopGradient(y), into, [0]);
      return total(y);
    });
    expect(await numbers(into)).toEqual([1, 4, 9]);
    expect(await grad(grads)).toEqual([2, 4, 6]);
  });
});

describe("an op without a gradient", () => {
  test("is an error only where a gradient has to pass it, and leaks nothing", async () => {
    const before = usage(backend);
    const values = scope(() => valueAndGrad(params, () => total(add(p, fill(backend, [3], 1)))).grads.size);
    expect(values).toBe(1);
    expect(usage(backend)).toEqual(before);
  });
});
