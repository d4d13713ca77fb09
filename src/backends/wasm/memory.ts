// Memory of the wasm backend: blocks of one shared linear memory, which grows and never shrinks.
import { OutOfMemoryError } from "../../core/errors.js";
import type { Storage } from "../../core/view.js";
import type { Memory } from "../backend.js";
import { closedBackend, expectLength, expectRange, foreignStorage, freedStorage } from "../storage-rules.js";
import { turn } from "../turn.js";
import { Heap } from "./heap.js";

const PAGE = 65536;
/** Kernels read whole vectors and may look past an operand's end, never past the memory's. */
const GUARD = 64;
/** Growing costs a system call, so it happens by the MiB at least. */
const MIN_GROWTH = 16;

export class WasmStorage implements Storage {
  readonly byteLength: number;
  readonly memory: WasmMemory;
  #address: number;
  #alive = true;

  constructor(memory: WasmMemory, byteLength: number, address: number) {
    this.memory = memory;
    this.byteLength = byteLength;
    this.#address = address;
  }

  /** Where the bytes begin. @throws DisposedError after the backend was closed. @throws BackendError after `free`. */
  get address(): number {
    this.memory.expectOpen("storage");
    if (this.#alive) return this.#address;
    throw freedStorage(this.byteLength);
  }

  /** Takes the bytes away for good. */
  release(): number {
    const address = this.address;
    this.#alive = false;
    return address;
  }
}

export class WasmMemory implements Memory {
  readonly #memory: WebAssembly.Memory;
  readonly #heap: Heap;
  readonly #maxPages: number;
  #buffers = 0;
  #bytes = 0;
  #scratch = { address: 0, byteLength: 0 };
  #closed = false;

  /** Blocks lie from address `start` on. */
  constructor(memory: WebAssembly.Memory, start: number, maxPages: number) {
    this.#memory = memory;
    this.#maxPages = maxPages;
    this.#heap = new Heap(start, (end) => this.#reach(end + GUARD));
  }

  /** A fresh window over all bytes: growth leaves old ones at their old length. */
  get buffer(): ArrayBufferLike {
    return this.#memory.buffer;
  }

  /** For tests: the highest address ever used, and the longest gap below it. */
  get heap(): { readonly end: number; readonly largestGap: number } {
    return this.#heap;
  }

  /** @throws DisposedError after {@link close} */
  expectOpen(where: string): void {
    if (this.#closed) throw closedBackend(where, "wasm");
  }

  alloc(byteLength: number): Storage {
    this.expectOpen("alloc");
    expectLength(byteLength);
    const storage = new WasmStorage(this, byteLength, this.#block(byteLength));
    this.#buffers++;
    this.#bytes += byteLength;
    return storage;
  }

  free(storage: Storage): void {
    if (this.#closed) return; // closing freed everything; a tensor may be disposed after its backend
    const own = this.own("free", storage);
    this.#heap.free(own.release());
    this.#buffers--;
    this.#bytes -= own.byteLength;
  }

  write(storage: Storage, offset: number, bytes: Uint8Array): void {
    this.expectOpen("write");
    const own = this.own("write", storage);
    expectRange("write", own, offset, bytes.byteLength);
    new Uint8Array(this.buffer, own.address + offset, bytes.byteLength).set(bytes);
  }

  async read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    this.expectOpen("read");
    const own = this.own("read", storage);
    expectRange("read", own, offset, byteLength);
    const bytes = new Uint8Array(byteLength); // a copy that is not shared: browsers refuse shared bytes in many places
    bytes.set(new Uint8Array(this.buffer, own.address + offset, byteLength));
    await turn();
    return bytes;
  }

  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number } {
    return { buffers: this.#buffers, bytes: this.#bytes, scratch: this.#scratch.byteLength };
  }

  /** Bytes for the time of one kernel call, the same ones for every call: as many as the largest need so far. */
  scratch(byteLength: number): number {
    if (byteLength > this.#scratch.byteLength) {
      if (this.#scratch.byteLength > 0) this.#heap.free(this.#scratch.address);
      this.#scratch = { address: 0, byteLength: 0 };
      this.#scratch = { address: this.#block(byteLength), byteLength };
    }
    return this.#scratch.address;
  }

  /** Frees everything, for good. */
  close(): void {
    this.#closed = true;
    this.#buffers = 0;
    this.#bytes = 0;
    this.#scratch = { address: 0, byteLength: 0 };
  }

  /** The storage as one of this memory's own. */
  own(where: string, storage: Storage): WasmStorage {
    if (storage instanceof WasmStorage && storage.memory === this) return storage;
    throw foreignStorage(where, "wasm");
  }

  #block(byteLength: number): number {
    const address = this.#heap.alloc(byteLength);
    if (address !== undefined) return address;
    throw new OutOfMemoryError(
      `alloc: ${byteLength} bytes must fit into the wasm memory of at most ${this.#maxPages * PAGE}, got ${this.#bytes} in use; ` +
        `free tensors, or use smaller ones`,
    );
  }

  #reach(end: number): boolean {
    const held = this.#memory.buffer.byteLength / PAGE;
    const needed = Math.ceil(end / PAGE) - held;
    if (needed <= 0) return true;
    const wanted = Math.min(Math.max(needed, MIN_GROWTH * 16, held >> 3), this.#maxPages - held);
    return [wanted, needed].some((pages) => pages >= needed && this.#growBy(pages));
  }

  #growBy(pages: number): boolean {
    try {
      this.#memory.grow(pages);
      return true;
    } catch {
      return false;
    }
  }
}
