// A backend under guard: every buffer gets canaries on both sides, poison inside and, if asked, an offset, without its users knowing. Only
// `alloc` and the views that reach kernels are touched, so whatever runs on top (dispatch, composites, the tape) is guarded as well.
import {
  DECLINED,
  type Backend,
  type Kernels,
  type Memory,
  type OpName,
  type PrimitiveOps,
} from "../backends/backend.js";
import { BackendError } from "../core/errors.js";
import { isPackedView, type Operand, type Storage, type View } from "../core/view.js";

/** Cells of canaries behind each buffer, and at least so many before it. */
const FENCE = 4;
const CANARY = 0x7fc0_ca9a;

/** Thrown in place of composing, when the kernel that is looked at declines. */
export class Declined extends Error {}

class GuardedStorage implements Storage {
  readonly byteLength: number;
  readonly inner: Storage;
  /** Cells before the first one. */
  readonly front: number;

  constructor(byteLength: number, inner: Storage, front: number) {
    this.byteLength = byteLength;
    this.inner = inner;
    this.front = front;
  }
}

/**
 * `native`: all kernels, but the watched one throws {@link Declined} where it declines. `composed`: the primitives alone.
 * `all`: all kernels, and a declined one is composed as usual.
 */
export type Use = "native" | "composed" | "all";

export const primitiveNames: readonly (keyof PrimitiveOps)[] = [
  ...(["fill", "cast", "permute", "slice", "writeSlice", "gatherRows", "scatterRows", "unary"] as const),
  ...(["binary", "select", "reduce", "scan", "topK", "matmul", "quantize", "dequantize"] as const),
];

type AnyKernel = (inputs: readonly Operand[], outputs: readonly Operand[], attrs: unknown) => unknown;

export class Guard {
  readonly #backend: Backend;
  readonly #offset: number;
  readonly #poison: number;
  readonly #live = new Set<GuardedStorage>();
  /** Outputs of a call that declined: kept until it is checked that nobody wrote to them. */
  readonly #held = new Set<GuardedStorage>();
  #made = 0;
  /** How often the watched kernel ran to its end. */
  calls = 0;

  /** @param offset elements before each operand @param poison the word that fresh memory holds */
  constructor(backend: Backend, offset: number, poison: number) {
    this.#backend = backend;
    this.#offset = offset;
    this.#poison = poison;
  }

  /** The backend under guard. */
  backend(watched: OpName, use: Use): Backend {
    const kernels: Record<string, AnyKernel> = {};
    for (const [name, kernel] of Object.entries(this.#backend.kernels) as [OpName, AnyKernel][]) {
      if (use === "composed" && !(primitiveNames as readonly string[]).includes(name)) continue;
      const fused = !(primitiveNames as readonly string[]).includes(name);
      kernels[name] = (inputs, outputs, attrs) => {
        const result = kernel(inputs.map(unguarded), outputs.map(unguarded), attrs);
        if (name !== watched) return result;
        if (result !== DECLINED) this.calls++;
        else if (fused && use === "native") {
          for (const storage of outputs.flatMap(storagesOf)) this.#held.add(storage);
          throw new Declined();
        }
        return result;
      };
    }
    return {
      name: this.#backend.name,
      info: this.#backend.info,
      features: this.#backend.features,
      memory: this.memory,
      kernels: kernels as unknown as Kernels,
      flush: () => this.#backend.flush(),
      idle: () => this.#backend.idle(),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  readonly memory: Memory = {
    alloc: (byteLength) => {
      const front = this.#offset === 0 ? 0 : FENCE + this.#offset + (this.#made++ % 3);
      const cells = Math.ceil(byteLength / 4);
      const inner = this.#backend.memory.alloc(4 * (front + cells + FENCE));
      const words = new Uint32Array(front + cells + FENCE).fill(CANARY);
      words.fill(this.#poison, front, front + cells);
      this.#backend.memory.write(inner, 0, new Uint8Array(words.buffer));
      const storage = new GuardedStorage(byteLength, inner, front);
      this.#live.add(storage);
      return storage;
    },
    free: (storage) => {
      const own = guarded(storage);
      this.#live.delete(own);
      if (!this.#held.has(own)) this.#backend.memory.free(own.inner);
    },
    write: (storage, offset, bytes) => {
      const { inner, front } = guarded(storage);
      this.#backend.memory.write(inner, 4 * front + offset, bytes);
    },
    read: (storage, offset, byteLength) => {
      const { inner, front } = guarded(storage);
      return this.#backend.memory.read(inner, 4 * front + offset, byteLength);
    },
    usage: () => this.#backend.memory.usage(),
  };

  /** What is wrong around the buffers that live, and inside those that a declined call was given; undefined if nothing is. */
  async check(): Promise<string | undefined> {
    const all = [...new Set([...this.#live, ...this.#held])];
    const found = await Promise.all(all.map((storage) => this.#wrongIn(storage)));
    return found.find((wrong) => wrong !== undefined);
  }

  async #wrongIn(storage: GuardedStorage): Promise<string | undefined> {
    const { inner, front, byteLength } = storage;
    const cells = Math.ceil(byteLength / 4);
    const bytes = await this.#backend.memory.read(inner, 0, 4 * (front + cells + FENCE));
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    for (let at = 0; at < words.length; at++) {
      const inside = at >= front && at < front + cells;
      if (!inside && words[at] !== CANARY) {
        const where = at < front ? `${front - at} before the first` : `${at - front - cells + 1} behind the last`;
        return `outside: element ${where} of ${cells} was written`;
      }
      if (inside && this.#held.has(storage) && !this.#live.has(storage) && words[at] !== this.#poison) {
        return `declined: element ${at - front} of an output of ${cells} was written before the kernel declined`;
      }
    }
    return undefined;
  }

  /** Frees what was held back. */
  release(): void {
    for (const storage of this.#held) if (!this.#live.has(storage)) this.#backend.memory.free(storage.inner);
    this.#held.clear();
  }
}

function guarded(storage: Storage): GuardedStorage {
  if (storage instanceof GuardedStorage) return storage;
  throw new BackendError("guard: storage must be made under guard, got a foreign one");
}

function unguarded<T extends Operand>(operand: T): T {
  if (operand === undefined) return operand;
  if (isPackedView(operand)) return { ...operand, parts: operand.parts.map(unguarded) };
  const view: View = operand;
  const { inner, front } = guarded(view.storage);
  return { ...view, storage: inner, offset: view.offset + front } as T;
}

function storagesOf(operand: Operand): readonly GuardedStorage[] {
  if (operand === undefined) return [];
  return (isPackedView(operand) ? operand.parts : [operand]).map((view) => guarded(view.storage));
}
