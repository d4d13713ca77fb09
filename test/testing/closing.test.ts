// The case that closes a backend: what a closed one must refuse, what it must bear, and that it is asked for by `open` alone.
import { describe, expect, test } from "vitest";
import type { Backend, Memory } from "../../src/backends/backend.js";
import { cpu } from "../../src/backends/cpu/index.js";
import { conformanceCases } from "../../src/testing/conformance.js";
import { verdict } from "./planted.js";

const backend = await cpu();
const name = "backend/closing";

/** Opens a CPU backend and changes it; `closed` says whether it has been closed. */
type Change = (honest: Backend, closed: () => boolean) => Partial<Backend>;
const opening = (change: Change) => async (): Promise<Backend> => {
  const honest = await cpu();
  let closed = false;
  const close = async (): Promise<void> => {
    closed = true;
    await honest[Symbol.asyncDispose]();
  };
  return { ...honest, [Symbol.asyncDispose]: close, ...change(honest, () => closed) };
};
const inMemory = (memory: Memory, change: Partial<Memory>): Memory => ({
  alloc: memory.alloc.bind(memory),
  free: memory.free.bind(memory),
  write: memory.write.bind(memory),
  read: memory.read.bind(memory),
  usage: memory.usage.bind(memory),
  ...change,
});

const faults: readonly (readonly [fault: string, says: string, change: Change])[] = [
  [
    "allocates on",
    "alloc: a closed backend must throw a DisposedError, got undefined",
    ({ memory }, closed) => ({
      memory: inMemory(memory, {
        alloc: (byteLength) => (closed() ? { byteLength } : memory.alloc(byteLength)),
      }),
    }),
  ],
  [
    "takes what is written",
    "write: a closed backend",
    ({ memory }, closed) => ({
      memory: inMemory(memory, { write: (...args) => (closed() ? undefined : memory.write(...args)) }),
    }),
  ],
  [
    "reads zeros",
    "read: a closed backend",
    ({ memory }, closed) => ({
      memory: inMemory(memory, {
        read: async (...args) => (closed() ? new Uint8Array(args[2]) : memory.read(...args)),
      }),
    }),
  ],
  ["flushes", "flush: a closed backend", () => ({ flush: () => undefined })],
  ["is idle", "idle: a closed backend", () => ({ idle: async () => undefined })],
  [
    "fills, by an error of another class",
    "kernels.fill: a closed backend must throw a DisposedError, got TypeError: no buffer",
    ({ kernels }, closed) => ({
      kernels: {
        ...kernels,
        fill: (...args) => {
          if (closed()) throw new TypeError("no buffer");
          kernels.fill(...args);
        },
      },
    }),
  ],
  [
    "casts",
    "kernels.cast: a closed backend",
    ({ kernels }, closed) => ({
      kernels: { ...kernels, cast: (...args) => (closed() ? undefined : kernels.cast(...args)) },
    }),
  ],
  [
    "refuses to free",
    "free: must do nothing on a closed backend, got Error: gone",
    ({ memory }, closed) => ({
      memory: inMemory(memory, {
        free: (storage) => {
          if (closed()) throw new Error("gone");
          memory.free(storage);
        },
      }),
    }),
  ],
  [
    "refuses to be closed again",
    "[Symbol.asyncDispose]: must do nothing",
    (honest) => {
      let times = 0;
      return {
        [Symbol.asyncDispose]: async () => {
          if (times++ > 0) throw new Error("closed already");
          await honest[Symbol.asyncDispose]();
        },
      };
    },
  ],
  [
    "still counts its buffers",
    "usage: a closed backend must hold nothing, got 2 buffers of 8 bytes",
    ({ memory }, closed) => ({
      memory: inMemory(memory, {
        usage: () => (closed() ? { buffers: 2, bytes: 8, scratch: 0 } : memory.usage()),
      }),
    }),
  ],
];

describe("a closed backend that", () => {
  test.each(faults)("%s", async (_, says, change) => {
    expect(await verdict(backend, name, { open: opening(change) })).toContain(says);
  });
});

test("one that closes as it should passes", async () => {
  expect(await verdict(backend, name, { open: cpu })).toBeUndefined();
});

test("the backend under test stays open", async () => {
  expect(await verdict(backend, name, { open: async () => backend })).toContain("open: must open another backend");
  expect(await verdict(backend, "fill")).toBeUndefined();
});

test("closing one must not close the other", async () => {
  const first = await cpu();
  const both = opening((honest) => ({
    [Symbol.asyncDispose]: async () => {
      await honest[Symbol.asyncDispose]();
      await first[Symbol.asyncDispose]();
    },
  }));
  expect(await verdict(first, name, { open: both })).toContain("must be open");
});

test("without `open` there is no such case", () => {
  expect(conformanceCases(backend).map((one) => one.name)).not.toContain(name);
  expect(() => conformanceCases(backend, { only: [name] })).toThrow(`got "${name}"`);
});
