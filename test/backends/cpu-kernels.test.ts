// The CPU backend's memory and primitives on examples worked by hand: each pins a convention of the contract.
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../../src/backends/cpu/index.js";
import type { BinaryOp, UnaryOp } from "../../src/backends/backend.js";
import { BackendError, DisposedError, OutOfMemoryError } from "../../src/core/errors.js";
import type { View } from "../../src/core/view.js";
import { backend, call, i32, packed, run, u32, view } from "./cpu-views.js";

afterAll(() => backend[Symbol.asyncDispose]());

describe("memory", () => {
  test("counts buffers and bytes, and reads what was written", async () => {
    const own = await cpu();
    const storage = own.memory.alloc(8);
    own.memory.write(storage, 4, Uint8Array.of(1, 2));
    expect([...(await own.memory.read(storage, 3, 3))]).toEqual([0, 1, 2]);
    expect(own.memory.usage()).toEqual({ buffers: 1, bytes: 8, scratch: 0 });
    own.memory.free(storage);
    expect(own.memory.usage()).toEqual({ buffers: 0, bytes: 0, scratch: 0 });
  });

  test("a read lets timers run", async () => {
    const storage = backend.memory.alloc(4);
    let fired = false;
    setTimeout(() => (fired = true), 0);
    for (const end = Date.now() + 2000; !fired && Date.now() < end;) await backend.memory.read(storage, 0, 4);
    expect(fired).toBe(true);
  });

  test("freed, foreign and closed storages are refused", async () => {
    const own = await cpu();
    const storage = own.memory.alloc(4);
    const y: View = { storage, dtype: "f32", shape: [1], offset: 0 };
    expect(() => backend.memory.free(storage)).toThrow(BackendError);
    expect(() => backend.memory.free({ byteLength: 4 })).toThrow(BackendError);
    expect(() => own.memory.write(storage, 1, new Uint8Array(4))).toThrow(BackendError);
    own.memory.free(storage);
    expect(() => own.memory.free(storage)).toThrow(BackendError);
    expect(() => own.kernels.fill([], [y], { value: 0, step: 0 })).toThrow(BackendError);
    await expect(own.memory.read(storage, 0, 4)).rejects.toThrow(BackendError);
    const kept = own.memory.alloc(4);
    await own[Symbol.asyncDispose]();
    expect(() => own.memory.alloc(4)).toThrow(DisposedError);
    expect(() => own.kernels.fill([], [{ ...y, storage: kept }], { value: 0, step: 0 })).toThrow(DisposedError);
    await expect(own.memory.read(kept, 0, 4)).rejects.toThrow(DisposedError);
    await expect(own.idle()).rejects.toThrow(DisposedError);
  });

  test("more than the limit is out of memory", () => {
    expect(() => backend.memory.alloc(backend.features.maxBufferBytes + 4)).toThrow(OutOfMemoryError);
  });
});

describe("primitives", () => {
  test("fill steps along the last axis", async () => {
    expect(await run("fill", [], [view([2, 3])], { value: 1, step: 0.5 })).toEqual([[1, 1.5, 2, 1, 1.5, 2]]);
    expect(await run("fill", [], [i32([])], { value: -1, step: 7 })).toEqual([[-1]]);
  });

  test("cast saturates, cuts off, and turns NaN into 0", async () => {
    const x = view([7], [1.9, -1.9, 3e9, -3e9, NaN, Infinity, 5e9]);
    expect(await run("cast", [x], [i32([7])], {})).toEqual([
      [1, -1, 2147483647, -2147483648, 0, 2147483647, 2147483647],
    ]);
    expect(await run("cast", [x], [u32([7])], {})).toEqual([[1, 0, 3000000000, 0, 0, 4294967295, 4294967295]]);
    expect(await run("cast", [i32([2], [-1, 16777217])], [view([2])], {})).toEqual([[-1, 16777216]]);
    expect(await run("cast", [i32([1], [-1])], [u32([1])], {})).toEqual([[0]]);
    expect(await run("cast", [u32([1], [4294967295])], [i32([1])], {})).toEqual([[2147483647]]);
  });

  test("permute, slice and writeSlice", async () => {
    const x = i32([2, 3], [0, 1, 2, 3, 4, 5]);
    expect(await run("permute", [x], [i32([3, 2])], { axes: [1, 0] })).toEqual([[0, 3, 1, 4, 2, 5]]);
    const cube = i32([2, 2, 2], [0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await run("permute", [cube], [i32([2, 2, 2])], { axes: [2, 0, 1] })).toEqual([[0, 2, 4, 6, 1, 3, 5, 7]]);
    expect(await run("slice", [x], [i32([2, 2])], { starts: [0, 1] })).toEqual([[1, 2, 4, 5]]);
    expect(await run("slice", [x], [i32([0, 2])], { starts: [2, 1] })).toEqual([[]]);
    const into = i32([2, 3], [9, 9, 9, 9, 9, 9]);
    expect(await run("writeSlice", [i32([1, 2], [1, 2])], [into], { starts: [1, 1] })).toEqual([[9, 9, 9, 9, 1, 2]]);
  });

  test("gatherRows gives zeros for rows that do not exist, also from a packed table", async () => {
    const rows = i32([4], [1, -1, 0, 2]);
    const table = [1, 2, 3, 4];
    expect(await run("gatherRows", [view([2, 2], table), rows], [view([4, 2])], {})).toEqual([
      [3, 4, 0, 0, 1, 2, 0, 0],
    ]);
    expect(await run("gatherRows", [packed("f16", [2, 1, 2], table), rows], [view([4, 1, 2])], {})).toEqual([
      [3, 4, 0, 0, 1, 2, 0, 0],
    ]);
  });

  test("scatterRows works in order and skips rows that do not exist", async () => {
    const x = view([4, 1], [1, 2, 4, 8]);
    const rows = i32([4], [1, -1, 1, 3]);
    expect(await run("scatterRows", [x, rows], [view([3, 1], [10, 20, 30])], { mode: "set" })).toEqual([[10, 4, 30]]);
    expect(await run("scatterRows", [x, rows], [view([3, 1], [10, 20, 30])], { mode: "add" })).toEqual([[10, 25, 30]]);
  });

  test.each<[UnaryOp, number[], number[]]>([
    ["neg", [1, -2, 0], [-1, 2, -0]],
    ["abs", [1, -2, NaN], [1, 2, NaN]],
    ["round", [0.5, 1.5, -2.5, -0.4, 16777217], [0, 2, -2, -0, 16777216]],
    ["rsqrt", [4, 0], [0.5, Infinity]],
    ["sigmoid", [0, 1000, -1000], [0.5, 1, 0]],
    ["log", [1, 0, -1], [0, -Infinity, NaN]],
  ])("unary %s", async (op, x, y) => {
    expect(await run("unary", [view([x.length], x)], [view([x.length])], { op })).toEqual([y]);
  });

  test.each<[BinaryOp, number[], number[], number[]]>([
    ["add", [2147483647], [1], [-2147483648]],
    ["sub", [-2147483648], [1], [2147483647]],
    ["mul", [65537], [65537], [131073]],
    ["div", [7, -7, 7, -2147483648], [-2, 2, 0, -1], [-3, -3, 0, -2147483648]],
    ["min", [1], [-2], [-2]],
    ["and", [6], [3], [2]],
    ["xor", [6], [-1], [-7]],
    ["shiftLeft", [1, 1], [33, 31], [2, -2147483648]],
    ["shiftRight", [-8, 8], [1, 34], [-4, 2]],
    ["less", [-1], [0], [1]],
  ])("binary %s of i32 wraps", async (op, a, b, y) => {
    const out = op === "less" ? u32([a.length]) : i32([a.length]);
    expect(await run("binary", [i32([a.length], a), i32([a.length], b)], [out], { op })).toEqual([y]);
  });

  test("u32 is unsigned throughout", async () => {
    const a = u32([2], [4294967295, 0]);
    const b = u32([2], [2, 1]);
    expect(await run("binary", [a, b], [u32([2])], { op: "shiftRight" })).toEqual([[1073741823, 0]]);
    expect(await run("binary", [a, b], [u32([2])], { op: "mul" })).toEqual([[4294967294, 0]]);
    expect(await run("binary", [a, b], [u32([2])], { op: "max" })).toEqual([[4294967295, 1]]);
    expect(await run("binary", [a, b], [u32([2])], { op: "sub" })).toEqual([[4294967293, 4294967295]]);
  });

  test("binary and select broadcast from the last axis", async () => {
    const column = view([2, 1], [10, 20]);
    const row = view([3], [1, 2, 3]);
    expect(await run("binary", [column, row], [view([2, 3])], { op: "add" })).toEqual([[11, 12, 13, 21, 22, 23]]);
    const condition = u32([3], [0, 2, 0]);
    expect(await run("select", [condition, column, row], [view([2, 3])], {})).toEqual([[1, 10, 3, 1, 20, 3]]);
    expect(await run("binary", [view([1]), view([0])], [view([0])], { op: "add" })).toEqual([[]]);
  });

  test("comparisons with NaN are false; min and max keep NaN", async () => {
    const a = view([2], [NaN, 1]);
    const b = view([2], [NaN, 2]);
    expect(await run("binary", [a, b], [u32([2])], { op: "equal" })).toEqual([[0, 0]]);
    expect(await run("binary", [a, b], [u32([2])], { op: "less" })).toEqual([[0, 1]]);
    expect(await run("binary", [a, b], [view([2])], { op: "max" })).toEqual([[NaN, 2]]);
  });

  test("reduce over any axes, and over nothing", async () => {
    const x = view([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await run("reduce", [x], [view([2, 1, 2])], { op: "sum", axes: [1] })).toEqual([[4, 6, 12, 14]]);
    expect(await run("reduce", [x], [view([1, 2, 1])], { op: "max", axes: [0, 2] })).toEqual([[6, 8]]);
    expect(await run("reduce", [view([0, 2])], [view([1, 2])], { op: "min", axes: [0] })).toEqual([
      [Infinity, Infinity],
    ]);
    expect(await run("reduce", [i32([0])], [i32([1])], { op: "max", axes: [0] })).toEqual([[-2147483648]]);
    expect(await run("reduce", [i32([2], [2147483647, 2])], [i32([1])], { op: "sum", axes: [0] })).toEqual([
      [-2147483647],
    ]);
  });

  test("scan", async () => {
    const x = view([2, 2], [1, 2, 3, 4]);
    expect(await run("scan", [x], [view([2, 2])], { axis: 0, exclusive: false })).toEqual([[1, 2, 4, 6]]);
    expect(await run("scan", [x], [view([2, 2])], { axis: 1, exclusive: true })).toEqual([[0, 1, 0, 3]]);
  });

  test("topK: descending, ties to the lower index, NaN last", async () => {
    const x = view([6], [1, NaN, 3, 3, -Infinity, 1]);
    expect(await run("topK", [x], [view([6]), i32([6])], { k: 6 })).toEqual([
      [3, 3, 1, 1, -Infinity, NaN],
      [2, 3, 0, 5, 4, 1],
    ]);
    expect((await run("topK", [x], [view([3]), i32([3])], { k: 3 }))[1]).toEqual([2, 3, 0]);
    expect(await run("topK", [u32([2], [1, 4294967295])], [u32([1]), i32([1])], { k: 1 })).toEqual([[4294967295], [1]]);
  });

  test("topK with a large k is a stable argsort too", async () => {
    const n = 600;
    const x = view(
      [n],
      Array.from({ length: n }, (_, i) => (i % 7 === 3 ? NaN : i % 5)),
    );
    const [, indices] = await run("topK", [x], [view([n]), i32([n])], { k: n });
    const key = (i: number): number => (i % 7 === 3 ? -1 : i % 5);
    const sorted = Array.from({ length: n }, (_, i) => i).sort((a, b) => key(b) - key(a) || a - b);
    expect(indices).toEqual(sorted);
  });

  test("matmul, either side transposed, in batches, over nothing", async () => {
    const a = view([2, 3], [1, 2, 3, 4, 5, 6]);
    const b = view([3, 2], [1, 0, 0, 1, 1, 1]);
    const plain = { transposeA: false, transposeB: false };
    expect(await run("matmul", [a, b], [view([2, 2])], plain)).toEqual([[4, 5, 10, 11]]);
    expect(await run("matmul", [a, a], [view([2, 2])], { ...plain, transposeB: true })).toEqual([[14, 32, 32, 77]]);
    expect(await run("matmul", [b, b], [view([2, 2])], { ...plain, transposeA: true })).toEqual([[2, 1, 1, 2]]);
    const batch = view([2, 1, 1], [2, 3]);
    expect(await run("matmul", [batch, batch], [view([2, 1, 1])], plain)).toEqual([[4, 9]]);
    expect(await run("matmul", [view([2, 0]), view([0, 1])], [view([2, 1])], plain)).toEqual([[0, 0]]);
  });

  test("an element of a product is one f64 sum in index order, wherever it lies in a block", async () => {
    const rows = 7;
    const outs = 6;
    const inner = 5;
    const a = Array.from({ length: rows * inner }, (_, i) => Math.fround(Math.sin(i) * 10 ** (i % 5)));
    const b = Array.from({ length: outs * inner }, (_, i) => Math.fround(Math.cos(3 * i)));
    const expected: number[] = [];
    for (let r = 0; r < rows; r++) {
      for (let o = 0; o < outs; o++) {
        let sum = 0;
        for (let i = 0; i < inner; i++) sum += a[r * inner + i] * b[o * inner + i];
        expected.push(Math.fround(sum));
      }
    }
    const attrs = { transposeA: false, transposeB: true };
    expect(await run("matmul", [view([rows, inner], a), view([outs, inner], b)], [view([rows, outs])], attrs)).toEqual([
      expected,
    ]);
  });

  test("quantize and dequantize", async () => {
    expect(
      await run("quantize", [view([1, 3], [127, 1.5, -2.5])], [packed("q8_0", [1, 3])], { scheme: "q8_0" }),
    ).toEqual([[127, 2, -3]]);
    expect(() => call("quantize", [view([1])], [packed("f16", [1])], { scheme: "q9" })).toThrow(BackendError);
  });
});
