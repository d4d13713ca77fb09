// Tensors and grids beyond what a device has in one piece: the exported suite on tiny limits, larger cases beside the oracle's bounds, and a tensor
// beyond the limits that every real device has.
import {
  add, fill, gatherRows, linear, matmul, OutOfMemoryError, permute, reshape, scatterRows, scope, softmax, sum, topK, writeSlice, zeros, type Backend,
  type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { conformanceCases } from "qwen-blocks/testing";
import { webgpu } from "qwen-blocks/webgpu";
import { afterAll, describe, expect, inject, test } from "vitest";
import { expectSame, Tally, type Way } from "../laws/expect-same.js";
import { ints, normal } from "../tensor/numbers.js";
import { plainDevice } from "./dawn.js";
import { smallDevice } from "./small-device.js";

describe("limits of a few thousand bytes", async () => {
  const sizes = [4096, 2 ** 20];
  const binding = sizes[0];
  const devices = await Promise.all(sizes.map((size) => smallDevice(size)));
  const backends = await Promise.all(devices.map(({ device }) => webgpu({ device })));
  const [backend] = backends;
  afterAll(async () => {
    for (const one of backends) await one[Symbol.asyncDispose]();
    for (const { device } of devices) device.destroy();
  });

  test("are stated", () => {
    expect(backend.info).toMatchObject({ maxBindingBytes: binding });
    expect(backend.features.maxBufferBytes).toBeLessThanOrEqual(2 * binding);
    expect(() => zeros(backend, [binding])).toThrow(OutOfMemoryError);
  });

  describe("suite, on the smallest limits that hold what is drawn", () => {
    const suites = backends.map((one, i) => {
      const open = async () => webgpu({ device: devices[i].device });
      return conformanceCases(one, { seed: inject("fcSeed"), runs: 2, open });
    });
    for (const [i, { name }] of suites[0].entries()) {
      test(name, async () => {
        for (const suite of suites) {
          const error = await suite[i].run().then(
            () => undefined,
            (error: unknown) => error as Error,
          );
          if (error === undefined) return;
          if (!(error.cause instanceof OutOfMemoryError) || suite === suites.at(-1)) throw error;
        }
      });
    }
  });

  test("a table without rows may lie at the end of a large buffer", async () => {
    const y = scope(() => {
      const all = zeros(backend, [1280]); // more than a binding shows, and the whole of its buffer
      return gatherRows(all.window([0, 4], "f32", 1280), ints(backend, [0, 3]));
    });
    expect(await y.data()).toEqual(new Float32Array(8));
    y.dispose();
  });

  describe("tensors of two pieces", () => {
    const rows = 37;
    const width = 45; // 6,660 bytes; the border lies within a row
    const x = (where: Backend): Tensor => normal(where, 1, [rows, width]);
    const wide = (where: Backend): Tensor => normal(where, 2, [rows * width]);
    const ways: Readonly<Record<string, Way>> = {
      add: (where) => [add(x(where), normal(where, 3, [rows, width]))],
      "broadcast add": (where) => [add(x(where), normal(where, 3, [width]))],
      permute: (where) => [permute(x(where), [1, 0])],
      "sum of rows": (where) => [sum(x(where))],
      "sum of columns": (where) => [sum(x(where), [0])],
      "softmax of one long row": (where) => [softmax(wide(where))],
      "topK of one long row": (where) => [topK(wide(where), 9).values],
      linear: (where) => [linear(normal(where, 3, [3, width]), x(where))],
      matmul: (where) => [matmul(normal(where, 3, [5, rows]), x(where))],
      gatherRows: (where) => [gatherRows(x(where), ints(where, [0, 36, 22, 23, 99, -1]))],
      scatterRows: (where) => {
        const target = zeros(where, [rows, width]);
        scatterRows(normal(where, 3, [4, width]), ints(where, [22, 22, 36, 50]), target, "add");
        return [target];
      },
      writeSlice: (where) => {
        const target = x(where);
        writeSlice(normal(where, 3, [20, 7]), target, [10, 3]);
        return [target];
      },
      fill: (where) => [fill(where, [rows, width], 3)],
    };
    test.each(Object.entries(ways))("%s", (name, way) => expectSame(backend, { way }, new Tally(), { drawn: [name] }));
  });

  test("nothing was asked of the device that it does not have", () => {
    expect(devices.map(({ excesses }) => excesses)).toEqual(sizes.map(() => []));
  });
});

describe("a tensor beyond the 128 MiB that WebGPU promises for a binding", async () => {
  const device = await plainDevice();
  const backend = await webgpu({ device });
  afterAll(async () => {
    await backend[Symbol.asyncDispose]();
    device.destroy();
  });
  const rows = 36 * 1024;
  const width = 1024; // 144 MiB; the border lies before row 32 * 1024

  test("is gathered from and added to on both sides of the border", { timeout: 300_000 }, async () => {
    expect(device.limits.maxStorageBufferBindingSize).toBe(2 ** 27);
    const picked = [0, 32 * 1024 - 1, 32 * 1024, rows - 1];
    const read = scope(() => {
      const table = reshape(fill(backend, [rows * width], 0, { step: 1, dtype: "i32" }), [rows, width]);
      return gatherRows(add(table, 1), ints(backend, picked));
    });
    const expected = picked.flatMap((row) => Array.from({ length: width }, (_, i) => row * width + i + 1));
    expect([...(await read.data())]).toEqual(expected);
    read.dispose();
  });

  test("is multiplied by", { timeout: 300_000 }, async () => {
    const inner = (rows * width) / 4; // whole numbers up to it are exact in f32
    const y = scope(() => linear(fill(backend, [1, inner], 1), fill(backend, [4, inner], 1)));
    expect(await y.data()).toEqual(new Float32Array(4).fill(inner));
    y.dispose();
  });
});
