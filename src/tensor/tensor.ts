// The handle of a plain tensor: a typed window over memory of one backend.
import type { Backend } from "../backends/backend.js";
import { BYTES_PER_ELEMENT, dtypeOf, elementsOver, type DType, type Elements } from "../core/dtype.js";
import { DisposedError, DTypeError, IndexError, RecordingError } from "../core/errors.js";
import { showShape, sizeOf, type Shape } from "../core/shape.js";
import type { View } from "../core/view.js";
import { Allocation } from "./allocation.js";
import { forget, remember } from "./development.js";
import { recording } from "./recording-state.js";
import { adopt, disown } from "./scope.js";

let nextId = 0;
/** A fresh name for a value; handles of the same value share it. */
export function newId(): number {
  return nextId++;
}

/**
 * A contiguous row-major tensor. Made by ops and by the functions of `create.ts`, owned by the innermost {@link scope} or else by the
 * caller, who disposes it (`using` works too).
 */
export class Tensor implements Disposable {
  readonly backend: Backend;
  readonly shape: Shape;
  readonly dtype: DType;
  /** The value's identity: what gradients are looked up by. Handles made by {@link retain} share it. */
  readonly id: number;
  readonly allocation: Allocation;
  readonly #offset: number;
  #disposed: string | undefined;

  /** For the library's own use: takes over one hold on `allocation`. Users call ops. */
  constructor(
    backend: Backend,
    allocation: Allocation,
    dtype: DType,
    shape: Shape,
    offset: number,
    id: number = newId(),
  ) {
    this.backend = backend;
    this.allocation = allocation;
    this.dtype = dtype;
    this.shape = shape;
    this.id = id;
    this.#offset = offset;
    adopt(this);
    remember(this);
  }

  /** New memory of undefined content. */
  static allocate(backend: Backend, shape: Shape, dtype: DType = "f32"): Tensor {
    return new Tensor(backend, new Allocation(backend.memory, sizeOf(shape) * BYTES_PER_ELEMENT), dtype, shape, 0);
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  get disposed(): boolean {
    return this.#disposed !== undefined;
  }

  /** Bytes of its elements on the device; other handles may share them. */
  get byteLength(): number {
    return this.size * BYTES_PER_ELEMENT;
  }

  /** What kernels see. @throws DisposedError */
  get view(): View {
    this.#check();
    return { storage: this.allocation.storage, dtype: this.dtype, shape: this.shape, offset: this.#offset };
  }

  /** Another handle on the same memory, `offset` elements further in; the value is a new one unless `id` is given. */
  window(shape: Shape, dtype: DType, offset: number, id?: number): Tensor {
    this.#check();
    this.allocation.hold();
    return new Tensor(this.backend, this.allocation, dtype, shape, this.#offset + offset, id);
  }

  /** Another handle of the same value. */
  retain(): Tensor {
    return this.window(this.shape, this.dtype, 0, this.id);
  }

  /**
   * Copies the numbers to the host. The only wait in a computation: it gives the event loop a turn and rejects with what a device reports
   * late.
   * @throws DisposedError, RecordingError
   */
  async data(): Promise<Elements> {
    const { storage, offset } = this.view;
    if (recording.into)
      throw new RecordingError(`data: a recorded region must not read on the host, got ${this.toString()}`);
    this.allocation.hold();
    try {
      const length = this.size * BYTES_PER_ELEMENT;
      const bytes = await this.backend.memory.read(storage, offset * BYTES_PER_ELEMENT, length);
      return elementsOver(this.dtype, bytes.buffer, bytes.byteOffset, this.size);
    } finally {
      this.allocation.release();
    }
  }

  /**
   * Overwrites elements from `start` on with numbers of the host; how steps get their inputs.
   * @throws DTypeError if the array holds another type, IndexError if it does not fit, RecordingError
   */
  write(data: Float32Array | Int32Array | Uint32Array, start = 0): void {
    const { storage, offset } = this.view;
    if (recording.into)
      throw new RecordingError(`write: a recorded region must not write on the host, got ${this.toString()}`);
    if (dtypeOf(data) !== this.dtype) {
      throw new DTypeError(
        `write: data must hold ${this.dtype} like ${this.toString()}, got ${dtypeOf(data) ?? data.constructor.name}`,
      );
    }
    if (!Number.isInteger(start) || start < 0 || start + data.length > this.size) {
      throw new IndexError(
        `write: ${data.length} elements from ${start} on must lie inside ${this.toString()}, got more than fit or no whole place`,
      );
    }
    this.allocation.wrote("write");
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.backend.memory.write(storage, (offset + start) * BYTES_PER_ELEMENT, bytes);
  }

  dispose(): void {
    if (this.#disposed !== undefined) return;
    this.#disposed = forget(this);
    disown(this);
    this.allocation.release();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `${this.dtype}${showShape(this.shape)}`;
  }

  #check(): void {
    if (this.#disposed === undefined) return;
    throw new DisposedError(
      `tensor ${this.toString()} was used after it was disposed${this.#disposed}; keep() it or return it from its scope`,
    );
  }
}
