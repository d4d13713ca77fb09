// What kernels see: dispatches of shaders over views, and scratch memory. Kernels encode by shapes and places alone and know nothing of batches.
import { BackendError } from "../../core/errors.js";
import type { View } from "../../core/view.js";
import { sizeOf } from "../../core/shape.js";
import { Fault } from "./fault.js";
import type { GpuMemory, GpuStorage } from "./memory.js";
import type { Dispatch, Pipeline } from "./dispatch.js";
import { MAX_WINDOWS, type Pipelines } from "./pipelines.js";
import { SLOT, type Queue } from "./queue.js";
import { paramNames, signatureOf, type Binding, type Shader } from "./shader.js";
import type { Chunk } from "./pool.js";

/** What this device offers beyond the core of WebGPU, as far as the caller lets it be used. */
export interface Abilities {
  readonly subgroups: boolean;
  readonly packedDot: boolean;
  /** Whether the adapter computes on the CPU, where barriers cost more than all else. */
  readonly emulated: boolean;
}

/** Sizes that decide how operands are bound and grids are cut. */
export interface Limits {
  /** Bytes of a buffer that one binding shows. */
  readonly window: number;
  readonly groupsPerDimension: number;
}

/** A binding begins at a multiple of this on every device. */
const WINDOW_ALIGNMENT = 256;

/** Where dispatches go, to the device or into a recording, and where they get what they need for themselves. */
export interface Sink {
  /** A place for the parameters of the next dispatch. */
  slot(compiled: Pipeline): { readonly at: number; readonly view: DataView };
  push(dispatch: Dispatch): void;
  /** Scratch memory of a kernel, and its end. */
  take(byteLength: number): GpuStorage;
  put(storage: GpuStorage): void;
}

interface Window {
  readonly chunk: Chunk;
  readonly storage: GpuStorage;
  /** Bytes, a multiple of {@link WINDOW_ALIGNMENT}. */
  readonly start: number;
  readonly size: number;
  /** Bytes of the second piece, 0 where there is none. */
  readonly rest: number;
  /** Elements from the start of the first piece to the view's first element. */
  readonly offset: number;
}

export class Engine {
  readonly memory: GpuMemory;
  readonly abilities: Abilities;
  readonly limits: Limits;
  readonly #pipelines: Pipelines;
  readonly #groups: BindGroups;
  readonly #sink: Sink;
  #op = "";
  #scratch: GpuStorage[] = [];

  constructor(parts: {
    memory: GpuMemory;
    abilities: Abilities;
    limits: Limits;
    pipelines: Pipelines;
    groups: BindGroups;
    sink: Sink;
  }) {
    this.memory = parts.memory;
    this.abilities = parts.abilities;
    this.limits = parts.limits;
    this.#pipelines = parts.pipelines;
    this.#groups = parts.groups;
    this.#sink = parts.sink;
  }

  /** An engine that hands its dispatches to someone else. */
  into(sink: Sink): Engine {
    return new Engine({
      memory: this.memory,
      abilities: this.abilities,
      limits: this.limits,
      pipelines: this.#pipelines,
      groups: this.#groups,
      sink,
    });
  }

  /** Runs a kernel: what it dispatches carries the op's name, and its scratch memory ends with it. */
  during<T>(op: string, kernel: () => T): T {
    this.memory.expectOpen(op);
    this.#op = op;
    try {
      return kernel();
    } finally {
      for (const storage of this.#scratch.splice(0)) this.#sink.put(storage);
    }
  }

  /** Memory until the kernel returns. Later kernels may get the same, since the device keeps the order. */
  scratch(dtype: View["dtype"], ...shape: readonly number[]): View {
    const storage = this.#sink.take(sizeOf(shape) * 4);
    this.#scratch.push(storage);
    return { storage, dtype, shape, offset: 0 };
  }

  /**
   * One dispatch of `groups` workgroups; nothing if that is 0. Views in the order of the shader's reads and writes, numbers in that of its
   * params. No view that is written may lie in the storage of another one.
   */
  dispatch(shader: Shader, views: readonly View[], numbers: readonly number[], groups: number): void {
    if (groups === 0) return;
    const { names, firstWritten, vectors, types } = signatureOf(shader);
    const windows = views.map((view) => this.#window(view));
    const bindings: Binding[] = windows.map(({ offset, rest }, i) => ({
      paged: rest > 0,
      vectors: offset % 4 === 0 && vectors[i],
    }));
    const access = windows.map(({ rest }, i) => (i < firstWritten ? "r" : "w").repeat(rest > 0 ? 2 : 1)).join("");
    if (access.length > MAX_WINDOWS) {
      throw new BackendError(`${this.#op}: at most ${MAX_WINDOWS} bindings fit a dispatch, got ${access.length}`);
    }
    if (types.length !== numbers.length || names.length !== views.length || 1 + names.length + types.length > SLOT / 4)
      throw new BackendError(
        `${shader.name}: operands must be ${paramNames(shader).join(", ")}, and at most ${SLOT / 4}`,
      );
    const compiled = this.#pipelines.of(this.#op, shader, bindings, access);
    const { at, view } = this.#sink.slot(compiled);
    view.setUint32(0, groups, true);
    windows.forEach(({ offset }, i) => view.setUint32(4 * (1 + i), offset, true));
    numbers.forEach((number, i) => {
      const place = 4 * (1 + windows.length + i);
      if (types[i] === "f32") view.setFloat32(place, number, true);
      else view.setUint32(place, number >>> 0, true);
    });
    const storages = windows.map(({ storage }) => storage);
    this.#sink.push({
      op: this.#op,
      shader: shader.name,
      compiled,
      reads: storages.slice(0, firstWritten),
      writes: storages.slice(firstWritten),
      windows: this.#groups.of(access, windows),
      paramsAt: at,
      grid: gridOf(groups, this.limits.groupsPerDimension),
    });
  }

  /** Bindings that these views take, of which a dispatch has 8: two each where a view is larger than one can show. */
  bindings(...views: readonly View[]): number {
    return views.reduce((count, view) => count + (this.#window(view).rest > 0 ? 2 : 1), 0);
  }

  #window(view: View): Window {
    const storage = this.memory.own(this.#op, view.storage);
    const { chunk } = storage;
    const { window } = this.limits;
    const whole = chunk.size <= window;
    // Bindings are not empty, and a view without elements may lie at the very end.
    const first = Math.min(view.offset * 4, chunk.size - 4);
    const start = whole ? 0 : Math.floor(first / WINDOW_ALIGNMENT) * WINDOW_ALIGNMENT;
    const end = whole ? chunk.size : Math.ceil((first + Math.max(1, sizeOf(view.shape)) * 4) / 16) * 16;
    const size = Math.min(end - start, window);
    return { chunk, storage, start, size, rest: end - start - size, offset: (first - start) / 4 };
  }
}

/** Workgroups are numbered; the grid only has to hold them. */
function gridOf(groups: number, most: number): readonly [number, number, number] {
  const x = Math.min(groups, most);
  const y = Math.min(Math.ceil(groups / x), most);
  return [x, y, Math.ceil(groups / (x * y))];
}

/** The oldest ones go beyond this: a step that varies makes new ones without end. */
const MAX_GROUPS = 8192;

/** Bind groups by what they bind. Names of buffers are never used again, so those of a buffer that is gone are not met. */
export class BindGroups {
  readonly #queue: Queue;
  readonly #pipelines: Pipelines;
  readonly #groups = new Map<string, GPUBindGroup>();

  constructor(queue: Queue, pipelines: Pipelines) {
    this.#queue = queue;
    this.#pipelines = pipelines;
  }

  of(access: string, windows: readonly Window[]): GPUBindGroup {
    let key = access;
    for (const { chunk, start, size, rest } of windows) key += `,${chunk.id}.${start}.${size}.${rest}`;
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const resources = windows.flatMap(({ chunk: { buffer }, start, size, rest }) => [
      { buffer, offset: start, size },
      ...(rest > 0 ? [{ buffer, offset: start + size, size: rest }] : []),
    ]);
    const bind = (): GPUBindGroup =>
      this.#queue.device.createBindGroup({
        layout: this.#pipelines.layout(access),
        entries: resources.map((resource, binding) => ({ binding, resource })),
      });
    // A buffer that was refused makes this an error too.
    const doubtful = windows.some(({ chunk }) => chunk.granted.alive);
    const group = doubtful ? this.#queue.attempt(new Fault(), "bind", bind) : bind();
    this.#groups.set(key, group);
    if (this.#groups.size > MAX_GROUPS) this.#groups.delete(this.#groups.keys().next().value as string);
    return group;
  }

  /** How many are held. */
  get count(): number {
    return this.#groups.size;
  }
}
