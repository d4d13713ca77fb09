// What a handle refuses, and in which words: use after dispose, foreign tensors, shared memory, bad writes.
import {
  add,
  adamW,
  AliasError,
  appendKV,
  BackendError,
  bitcast,
  concat,
  DisposedError,
  DTypeError,
  IndexError,
  linear,
  matmul,
  reshape,
  rmsNorm,
  scatterRows,
  setDevelopment,
  ShapeError,
  slice,
  softmax,
  tensor,
  topK,
  writeSlice,
  zeros,
  type Backend,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { beforeEach, describe, expect, test } from "vitest";
import { expectNoLeak, ints, normal, numbers, usage } from "./numbers.js";

let backend: Backend;
beforeEach(async () => {
  backend = await cpu();
});
const gone = (shape: readonly number[]): Tensor => {
  const x = zeros(backend, shape);
  x.dispose();
  return x;
};

/** What `fn` throws. */
function thrown(fn: () => unknown): Error & { readonly code?: string } {
  try {
    fn();
  } catch (error) {
    return error as Error;
  }
  return expect.fail("nothing was thrown");
}

describe("use after dispose", () => {
  const uses: Record<string, (x: Tensor) => unknown> = {
    add: (x) => add(x, x),
    "right operand": (x) => add(zeros(backend, [2, 3]), x),
    matmul: (x) => matmul(x, zeros(backend, [3, 2])),
    linear: (x) => linear(zeros(backend, [1, 3]), x),
    softmax,
    topK: (x) => topK(x, 2),
    reshape: (x) => reshape(x, [6]),
    slice: (x) => slice(x, [0, 0], [1, 3]),
    bitcast: (x) => bitcast(x, "u32"),
    concat: (x) => concat([x, x], 0),
    write: (x) => x.write(new Float32Array(1)),
    writeSlice: (x) => writeSlice(x, zeros(backend, [2, 3]), [0, 0]),
    "writer's target": (x) => writeSlice(zeros(backend, [1, 3]), x, [0, 0]),
    view: (x) => x.view,
    retain: (x) => x.retain(),
  };
  test.each(Object.entries(uses))("%s throws a DisposedError with the shape", (_, use) => {
    const error = thrown(() => use(gone([2, 3])));
    expect(error).toBeInstanceOf(DisposedError);
    expect(error).toMatchObject({ name: "DisposedError", code: "DISPOSED" });
    expect(error.message).toContain("f32[2,3]");
  });

  test("data rejects with it", async () => {
    await expect(gone([4]).data()).rejects.toMatchObject({ code: "DISPOSED" });
  });

  test("a closed backend refuses too", async () => {
    const x = zeros(backend, [2]);
    await backend[Symbol.asyncDispose]();
    await expect(x.data()).rejects.toMatchObject({ code: "DISPOSED" });
    expect(thrown(() => zeros(backend, [1]))).toMatchObject({ code: "DISPOSED" });
  });

  test("in development the message says where it was disposed, for handles of both ways to die", () => {
    setDevelopment(true);
    try {
      const x = zeros(backend, [5]);
      const disposeHere = (): void => x.dispose();
      disposeHere();
      const { message } = thrown(() => x.view);
      expect(message).toContain("disposeHere");
      expect(message).toContain("tensor.test.ts");
      expect(message).toContain("f32[5]");
    } finally {
      setDevelopment(false);
    }
    expect(thrown(() => gone([5]).view).message).not.toContain("tensor.test.ts");
  });
});

describe("two backends", () => {
  const mixes: Record<string, (a: Tensor, b: Tensor) => unknown> = {
    add: (a, b) => add(a, b),
    matmul: (a, b) => matmul(a, b),
    rmsNorm: (a, b) => rmsNorm(a, reshape(slice(b, [0, 0], [1, 2]), [2]), 1e-6),
    writeSlice: (a, b) => writeSlice(a, b, [0, 0]),
    concat: (a, b) => concat([a, b], 0),
  };
  test.each(Object.entries(mixes))("%s refuses them by name and leaves nothing behind", async (_, mix) => {
    const other = { ...(await cpu()), name: "other" };
    const [a, b] = [zeros(backend, [2, 2]), zeros(other, [2, 2])];
    const before = usage(backend);
    const error = thrown(() => mix(a, b));
    expect(error).toBeInstanceOf(BackendError);
    expect(error).toMatchObject({ code: "BACKEND" });
    expect(error.message).toMatch(/"cpu" and "other"|"other" and "cpu"/);
    expect(usage(backend)).toEqual(before);
  });

  test("a decorated backend mixes with its own", async () => {
    const y = add(tensor(backend, [1]), tensor({ ...backend, name: "wrapped" }, [2]));
    expect(await numbers(y)).toEqual([3]);
  });
});

describe("writers share no memory with what they read", () => {
  const shared: Record<string, (x: Tensor) => unknown> = {
    "writeSlice from itself": (x) => writeSlice(slice(x, [0, 0], [1, 4]), x, [1, 0]),
    "writeSlice between windows that do not overlap": (x) =>
      writeSlice(slice(x, [0, 0], [1, 4]), slice(x, [2, 0], [2, 4]), [0, 0]),
    "scatterRows: x": (x) => scatterRows(slice(x, [0, 0], [2, 4]), ints(backend, [0, 1]), x, "add"),
    "scatterRows: rows": (x) =>
      scatterRows(zeros(backend, [4], "i32"), reshape(bitcast(slice(x, [0, 0], [1, 4]), "i32"), [4]), reshape(bitcast(x, "i32"), [16]), "set"), // prettier-ignore
    "adamW: the gradient is the parameter": (x) => adam(x, x, zeros(backend, [4, 4]), zeros(backend, [4, 4])),
    "adamW: one memory for both moments": (x) => {
      const moments = zeros(backend, [4, 4]);
      adam(zeros(backend, [4, 4]), x, moments, moments);
    },
    "appendKV: one pool for k and v": (x) => {
      const pool = reshape(x, [4, 1, 4]);
      appendKV(zeros(backend, [1, 1, 1, 4]), zeros(backend, [1, 1, 1, 4]), ints(backend, [0], [1, 1]), pool, pool);
    },
  };
  const adam = (grad: Tensor, param: Tensor, mean: Tensor, variance: Tensor): void =>
    adamW(grad, zeros(backend, [4]), param, mean, variance, { beta1: 0.9, beta2: 0.99, eps: 1e-8, decay: 0 });
  test.each(Object.entries(shared))("%s", async (_, write) => {
    const x = normal(backend, 1, [4, 4]);
    const before = await numbers(x);
    const error = thrown(() => write(x));
    expect(error).toBeInstanceOf(AliasError);
    expect(error).toMatchObject({ code: "ALIAS" });
    expect(await numbers(x)).toEqual(before);
  });
});

describe("host writes", () => {
  test("write from an element on, and nothing else", async () => {
    const x = zeros(backend, [2, 3]);
    x.write(new Float32Array([1, 2]), 3);
    expect(await numbers(x)).toEqual([0, 0, 0, 1, 2, 0]);
    x.write(new Float32Array(0), 6);
    const part = Float32Array.of(9, 8, 7, 6).subarray(1, 3);
    x.write(part);
    expect(await numbers(x)).toEqual([8, 7, 0, 1, 2, 0]);
  });

  test.each([
    [7, 0],
    [1, 6],
    [2, 5],
    [1, -1],
    [1, 0.5],
    [1, NaN],
  ])("%i elements from %d on do not fit into 6", async (count, start) => {
    const x = zeros(backend, [2, 3]);
    expect(thrown(() => x.write(new Float32Array(count).fill(5), start))).toBeInstanceOf(IndexError);
    expect(await numbers(x)).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("a window refuses to write past its own end", async () => {
    const x = zeros(backend, [2, 2]);
    const row = slice(x, [0, 0], [1, 2]);
    expect(thrown(() => row.write(new Float32Array(3)))).toMatchObject({ code: "INDEX" });
    expect(await numbers(x)).toEqual([0, 0, 0, 0]);
  });

  test.each([
    ["f32", new Int32Array(1)],
    ["i32", new Uint32Array(1)],
    ["u32", new Float32Array(1)],
    ["u32", new Uint8Array(1)],
    ["f32", new Float64Array(1)],
  ] as const)("%s refuses %o", (dtype, data) => {
    const error = thrown(() => zeros(backend, [2], dtype).write(data as Float32Array));
    expect(error).toBeInstanceOf(DTypeError);
    expect(error).toMatchObject({ code: "DTYPE" });
  });

  test.each([
    ["too few numbers", [1, 2, 3], [2, 2], ShapeError],
    ["a negative extent", [], [-1, 0], ShapeError],
    ["half an extent", [1], [0.5, 2], ShapeError],
    ["bytes", new Uint8Array(4), [4], DTypeError],
    ["doubles", new Float64Array(4), [4], DTypeError],
  ])("tensor() refuses %s and leaves nothing behind", async (_, data, shape, kind) => {
    await expectNoLeak(backend, () => {
      expect(thrown(() => tensor(backend, data as number[], shape))).toBeInstanceOf(kind);
    });
  });

  test.each([
    ["slice", (x: Tensor) => slice(x, [0.5, 0], [1, 2])],
    ["slice of half a row", (x: Tensor) => slice(x, [0, 0], [0.5, 2])],
    ["writeSlice", (x: Tensor) => writeSlice(zeros(backend, [1, 2]), x, [0.5, 0])],
  ])("%s refuses a fraction as a place", (_, use) => {
    expect(thrown(() => use(zeros(backend, [2, 2])))).toBeInstanceOf(ShapeError);
  });
});
