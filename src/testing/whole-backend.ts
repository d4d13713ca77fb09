// Cases about the backend as a whole: its memory, what it states, that operands which share memory are refused, and that closing is final.
import type { Backend } from "../backends/backend.js";
import { AliasError, DisposedError } from "../core/errors.js";
import type { View } from "../core/view.js";
import { adamW } from "../ops/adam-w.js";
import { appendKV } from "../ops/append-kv.js";
import { encodedBy } from "../ops/expect.js";
import { reshape } from "../ops/reshape.js";
import { scatterRows } from "../ops/scatter-rows.js";
import { slice } from "../ops/slice.js";
import { writeSlice } from "../ops/write-slice.js";
import { tensor } from "../tensor/create.js";
import { scope } from "../tensor/scope.js";
import { primitiveNames } from "./guards.js";

interface WholeCase {
  readonly name: string;
  run(): Promise<void>;
}

/** @param open opens another backend, to be closed; without it nothing can be said of closing */
export function wholeBackendCases(backend: Backend, open?: () => Promise<Backend>): readonly WholeCase[] {
  return [
    { name: "backend/contract", run: async () => contract(backend) },
    { name: "backend/memory", run: () => memory(backend) },
    { name: "backend/aliasing", run: async () => aliasing(backend) },
    { name: "backend/turn", run: () => turn(backend) },
    ...(open ? [{ name: "backend/closing", run: () => closing(backend, open) }] : []),
  ];
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** The 16 primitives are there, and q8_0 is listed. */
function contract({ kernels, features }: Backend): void {
  for (const name of primitiveNames) expect(typeof kernels[name] === "function", `kernels: ${name} is required`);
  expect("q8_0" in features.schemes, "features.schemes: q8_0 is required, since activations are rounded by it");
  const encoded = encodedBy(features);
  expect(encoded.includes("q8_0"), "features.encodes: q8_0 is required, since activations are rounded by it");
  expect(
    encoded.every((name) => name in features.schemes),
    "features.encodes: each must be one of features.schemes",
  );
  expect(
    features.accuracy === "ieee" || features.accuracy === "wgsl",
    `features.accuracy: ${features.accuracy} is none`,
  );
  expect(features.maxBufferBytes > 0, "features.maxBufferBytes: must be positive");
}

/** Buffers are apart, hold what was written where it was written, are counted, and may be empty. */
async function memory({ memory }: Backend): Promise<void> {
  const before = memory.usage();
  const sizes = [0, 4, 12, 64, 260, 4096];
  const storages = sizes.map((size) => memory.alloc(size));
  try {
    storages.forEach((storage, i) => {
      expect(storage.byteLength === sizes[i], `alloc: ${sizes[i]} bytes became ${storage.byteLength}`);
      memory.write(storage, 0, new Uint8Array(sizes[i]).fill(i + 1));
      if (sizes[i] >= 12) memory.write(storage, 4, Uint8Array.of(201, 202, 203, 204));
    });
    for (const [i, storage] of storages.entries()) {
      const all = await memory.read(storage, 0, sizes[i]);
      const wanted = Uint8Array.from({ length: sizes[i] }, (_, at) =>
        sizes[i] >= 12 && at >= 4 && at < 8 ? 197 + at : i + 1,
      );
      expect(
        all.length === wanted.length && all.every((byte, at) => byte === wanted[at]),
        `read: a buffer of ${sizes[i]} bytes does not hold what was written`,
      );
      if (sizes[i] < 12) continue;
      const part = await memory.read(storage, 4, 8);
      expect(part.length === 8 && part[0] === 201 && part[7] === i + 1, "read: a part from byte 4 is not that part");
      part.fill(0);
      expect((await memory.read(storage, 4, 4))[0] === 201, "read: what it gives must be a copy");
    }
    const during = memory.usage();
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(during.buffers === before.buffers + sizes.length, "usage: buffers are not counted");
    expect(during.bytes >= before.bytes + bytes, "usage: bytes are not counted");
  } finally {
    for (const storage of storages) memory.free(storage);
  }
  const after = memory.usage();
  expect(after.buffers === before.buffers && after.bytes === before.bytes, "usage: freed buffers are still counted");
}

/** No kernel is asked to write what it reads, or the same memory twice. */
function aliasing(backend: Backend): void {
  const refused = (name: string, fn: () => void): void => {
    try {
      scope(fn);
    } catch (error) {
      if (error instanceof AliasError) return;
      throw error;
    }
    throw new Error(`${name}: a target that shares memory with another operand was not refused`);
  };
  scope(() => {
    const x = tensor(backend, [1, 2, 3, 4], [2, 2]);
    const y = tensor(backend, [5, 6, 7, 8], [2, 2]);
    const rows = tensor(backend, Int32Array.of(0, 1));
    refused("writeSlice", () => writeSlice(slice(x, [0, 0], [1, 2]), x, [1, 0]));
    refused("scatterRows", () => scatterRows(x, rows, x, "set"));
    refused("scatterRows", () => scatterRows(x, rows, reshape(x, [2, 2]), "add"));
    const hyper = tensor(backend, [0.1, 1, 1, 1]);
    const attrs = { beta1: 0.9, beta2: 0.99, eps: 1e-6, decay: 0 };
    refused("adamW", () => adamW(x, hyper, y, y, tensor(backend, [0, 0, 0, 0], [2, 2]), attrs));
    const k = tensor(backend, [1, 2], [1, 1, 1, 2]);
    const slots = tensor(backend, Int32Array.of(0), [1, 1]);
    const pool = tensor(backend, [1, 2, 3, 4], [2, 1, 2]);
    refused("appendKV", () => appendKV(k, k, slots, pool, pool));
    const other = tensor(backend, [1, 2, 3, 4], [2, 1, 2]);
    const inside = reshape(slice(pool, [0, 0, 0], [1, 1, 2]), [1, 1, 1, 2]);
    refused("appendKV", () => appendKV(inside, k, slots, pool, other));
  });
}

/** A read gives the event loop a turn: in a loop of reads a timer fires. */
async function turn(backend: Backend): Promise<void> {
  const x = tensor(backend, [1]);
  let fired = false;
  const timer = setTimeout(() => (fired = true), 0);
  try {
    for (let i = 0; i < 10_000 && !fired; i++) await x.data();
  } finally {
    clearTimeout(timer);
    x.dispose();
  }
  expect(fired, "data: 10,000 reads went by before a timer of 0 ms fired");
}

/** A closed backend holds nothing and refuses every use by a DisposedError; `free` and closing again do nothing. Others stay open. */
async function closing(backend: Backend, open: () => Promise<Backend>): Promise<void> {
  const opened = await open();
  const { memory, kernels } = opened;
  expect(memory !== backend.memory, "open: must open another backend each time, got the memory of the one under test");
  const [x, y] = [0, 0].map((): View => ({ storage: memory.alloc(4), dtype: "f32", shape: [1], offset: 0 }));
  memory.write(x.storage, 0, new Uint8Array(4));
  await opened[Symbol.asyncDispose]();
  const uses: Readonly<Record<string, () => unknown>> = {
    alloc: () => memory.alloc(4),
    write: () => memory.write(x.storage, 0, new Uint8Array(4)),
    read: () => memory.read(x.storage, 0, 4),
    flush: () => opened.flush(),
    idle: () => opened.idle(),
    "kernels.fill": () => kernels.fill([], [y], { value: 1, step: 0 }),
    "kernels.cast": () => kernels.cast([x], [y], {}),
  };
  for (const [name, use] of Object.entries(uses)) {
    const error = await thrown(use);
    expect(
      error instanceof DisposedError,
      `${name}: a closed backend must throw a DisposedError, got ${String(error)}`,
    );
  }
  const nothing: Readonly<Record<string, () => unknown>> = {
    free: () => memory.free(x.storage),
    "[Symbol.asyncDispose]": () => opened[Symbol.asyncDispose](),
  };
  for (const [name, use] of Object.entries(nothing)) {
    const error = await thrown(use);
    expect(error === undefined, `${name}: must do nothing on a closed backend, got ${String(error)}`);
  }
  const { buffers, bytes } = memory.usage();
  expect(
    buffers === 0 && bytes === 0,
    `usage: a closed backend must hold nothing, got ${buffers} buffers of ${bytes} bytes`,
  );
  const still = tensor(backend, [1]);
  try {
    await still.data();
  } finally {
    still.dispose();
  }
}

/** What a call throws, or the promise that it gives rejects with. */
async function thrown(use: () => unknown): Promise<unknown> {
  try {
    await use();
    return undefined;
  } catch (error) {
    return error ?? "nothing";
  }
}
