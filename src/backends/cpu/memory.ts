// Memory of the CPU backend: one ArrayBuffer per storage.
import { OutOfMemoryError } from "../../core/errors.js";
import type { Storage } from "../../core/view.js";
import type { Memory } from "../backend.js";
import { closedBackend, expectLength, expectRange, foreignStorage, freedStorage } from "../storage-rules.js";
import { turn } from "../turn.js";

/** A multiple of 4 that every supported engine can allocate and cover with one typed array. */
export const MAX_BUFFER_BYTES: number = 2 ** 32 - 8;
/** Freed buffers kept for the next allocation of the same size. */
const MAX_IDLE_BYTES = 2 ** 28;

export class CpuStorage implements Storage {
  readonly byteLength: number;
  readonly memory: CpuMemory;
  #buffer: ArrayBuffer | undefined;

  constructor(memory: CpuMemory, byteLength: number, buffer: ArrayBuffer) {
    this.memory = memory;
    this.byteLength = byteLength;
    this.#buffer = buffer;
  }

  /** The bytes. @throws DisposedError after the backend was closed. @throws BackendError after `free`. */
  get buffer(): ArrayBuffer {
    this.memory.expectOpen("storage");
    if (this.#buffer !== undefined) return this.#buffer;
    throw freedStorage(this.byteLength);
  }

  /** Takes the bytes away for good. */
  release(): ArrayBuffer {
    const buffer = this.buffer;
    this.#buffer = undefined;
    return buffer;
  }
}

/** The storage as one of this backend's own. */
export function cpuStorage(storage: Storage): CpuStorage {
  if (storage instanceof CpuStorage) return storage;
  throw foreignStorage("cpu", "cpu");
}

export class CpuMemory implements Memory {
  /**
   * Freed buffers by size. The engine clears every new buffer and the system maps its pages in again: measured, filling a fresh buffer of 4 MB
   * takes 15-30 % longer than filling a used one.
   */
  readonly #idle = new Map<number, ArrayBuffer[]>();
  #idleBytes = 0;
  #buffers = 0;
  #bytes = 0;
  #closed = false;

  /** @throws DisposedError after {@link close} */
  expectOpen(where: string): void {
    if (this.#closed) throw closedBackend(where, "cpu");
  }

  alloc(byteLength: number): Storage {
    this.expectOpen("alloc");
    expectLength(byteLength);
    const storage = new CpuStorage(this, byteLength, this.#take(Math.ceil(byteLength / 4) * 4));
    this.#buffers++;
    this.#bytes += byteLength;
    return storage;
  }

  #take(size: number): ArrayBuffer {
    const used = this.#idle.get(size)?.pop();
    if (used !== undefined) {
      this.#idleBytes -= size;
      return used;
    }
    const limit = `alloc: a buffer must have at most ${MAX_BUFFER_BYTES} bytes and fit into memory, got ${size}; use smaller tensors`;
    if (size > MAX_BUFFER_BYTES) throw new OutOfMemoryError(limit);
    try {
      return new ArrayBuffer(size);
    } catch (cause) {
      throw new OutOfMemoryError(limit, { cause });
    }
  }

  free(storage: Storage): void {
    if (this.#closed) return; // closing freed everything; a tensor may be disposed after its backend
    const own = this.#own("free", storage);
    const buffer = own.release();
    this.#buffers--;
    this.#bytes -= own.byteLength;
    const size = buffer.byteLength;
    if (size === 0 || this.#idleBytes + size > MAX_IDLE_BYTES) return;
    const idle = this.#idle.get(size);
    if (idle === undefined) this.#idle.set(size, [buffer]);
    else idle.push(buffer);
    this.#idleBytes += size;
  }

  write(storage: Storage, offset: number, bytes: Uint8Array): void {
    this.expectOpen("write");
    const own = this.#own("write", storage);
    expectRange("write", own, offset, bytes.byteLength);
    new Uint8Array(own.buffer).set(bytes, offset);
  }

  async read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    this.expectOpen("read");
    const own = this.#own("read", storage);
    expectRange("read", own, offset, byteLength);
    const bytes = new Uint8Array(own.buffer.slice(offset, offset + byteLength));
    await turn();
    return bytes;
  }

  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number } {
    return { buffers: this.#buffers, bytes: this.#bytes, scratch: 0 };
  }

  close(): void {
    this.#closed = true;
    this.#idle.clear();
    this.#buffers = 0;
    this.#bytes = 0;
  }

  #own(where: string, storage: Storage): CpuStorage {
    if (storage instanceof CpuStorage && storage.memory === this) return storage;
    throw foreignStorage(where, "cpu");
  }
}
