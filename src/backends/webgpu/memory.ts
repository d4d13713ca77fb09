// Memory of the webgpu backend: a buffer of the pool per storage. Writes and reads take their place between batches.
import { BackendError, OutOfMemoryError } from "../../core/errors.js";
import type { Storage } from "../../core/view.js";
import type { Memory } from "../backend.js";
import { closedBackend, expectLength, expectRange, foreignStorage, freedStorage } from "../storage-rules.js";
import { turn } from "../turn.js";
import { Fault, none } from "./fault.js";
import { GPU_COPY_DST, GPU_COPY_SRC, GPU_MAP_READ, GPU_STORAGE, type Queue } from "./queue.js";
import { Pool, type Chunk } from "./pool.js";

/** Free buffers beyond this are given back. */
const MAX_IDLE_BYTES = 2 ** 28;

export class GpuStorage implements Storage {
  readonly byteLength: number;
  readonly memory: GpuMemory;
  /** What its content depends on and the device may still call wrong. */
  faults: readonly Fault[];
  #chunk: Chunk | undefined;

  constructor(memory: GpuMemory, byteLength: number, chunk: Chunk, faults: readonly Fault[]) {
    this.memory = memory;
    this.byteLength = byteLength;
    this.#chunk = chunk;
    this.faults = faults;
  }

  /** @throws DisposedError after the backend was closed. @throws BackendError after `free`. */
  get chunk(): Chunk {
    this.memory.expectOpen("storage");
    if (this.#chunk !== undefined) return this.#chunk;
    throw freedStorage(this.byteLength);
  }

  /** Takes the buffer away for good. */
  release(): Chunk {
    const { chunk } = this;
    this.#chunk = undefined;
    return chunk;
  }
}

export class GpuMemory implements Memory {
  /** The largest storage. */
  readonly maxBytes: number;
  readonly #queue: Queue;
  readonly #pool: Pool;
  /** All buffers, free ones included. */
  readonly #chunks = new Set<Chunk>();
  /** So far. */
  reads = 0;
  #made = 0;
  #buffers = 0;
  #bytes = 0;
  #closed = false;

  constructor(queue: Queue, maxBytes: number) {
    this.#queue = queue;
    this.maxBytes = maxBytes;
    this.#pool = new Pool(
      (size) => this.#make(size),
      (chunk) => this.#destroy(chunk),
      { maxBytes, maxIdleBytes: MAX_IDLE_BYTES },
    );
  }

  /** Buffers of the device, free ones included. */
  get chunks(): number {
    return this.#chunks.size;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** @throws DisposedError after {@link close} */
  expectOpen(where: string): void {
    if (this.#closed) throw closedBackend(where, "webgpu");
  }

  alloc(byteLength: number): GpuStorage {
    this.expectOpen("alloc");
    expectLength(byteLength);
    const storage = this.take(byteLength);
    this.#buffers++;
    this.#bytes += byteLength;
    return storage;
  }

  /** A storage that is not counted, for the use of kernels. @throws OutOfMemoryError beyond {@link maxBytes} */
  take(byteLength: number): GpuStorage {
    if (byteLength > this.maxBytes) {
      throw new OutOfMemoryError(
        `alloc: a buffer must have at most ${this.maxBytes} bytes on this device, got ${byteLength}; use smaller tensors`,
      );
    }
    const chunk = this.#pool.take(byteLength);
    return new GpuStorage(this, byteLength, chunk, chunk.granted.alive ? [chunk.granted] : none);
  }

  /** Gives back what {@link take} gave. */
  put(storage: GpuStorage): void {
    if (!this.#closed) this.#pool.put(storage.release());
  }

  #make(size: number): Chunk {
    const granted = new Fault();
    const usage = GPU_STORAGE | GPU_COPY_SRC | GPU_COPY_DST;
    const buffer = this.#queue.attempt(granted, "alloc", () => this.#queue.device.createBuffer({ size, usage }));
    const chunk: Chunk = { buffer, id: this.#made++, size, granted, batch: 0 };
    this.#chunks.add(chunk);
    return chunk;
  }

  #destroy(chunk: Chunk): void {
    this.#chunks.delete(chunk);
    this.#queue.destroy(chunk.buffer);
  }

  free(storage: Storage): void {
    if (this.#closed) return; // closing freed everything; a tensor may be disposed after its backend
    const own = this.own("free", storage);
    this.put(own);
    this.#buffers--;
    this.#bytes -= own.byteLength;
  }

  write(storage: Storage, offset: number, bytes: Uint8Array): void {
    this.expectOpen("write");
    const own = this.own("write", storage);
    expectRange("write", own, offset, bytes.byteLength);
    if (bytes.byteLength === 0) return;
    const { chunk } = own;
    const queue = this.#queue;
    if (chunk.batch === queue.batch) queue.flush();
    const write = (): void => queue.device.queue.writeBuffer(chunk.buffer, offset, bytes as Uint8Array<ArrayBuffer>);
    // A buffer that was refused makes this an error too.
    if (chunk.granted.alive) queue.attempt(new Fault(), "write", write);
    else write();
  }

  async read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    this.expectOpen("read");
    const own = this.own("read", storage);
    expectRange("read", own, offset, byteLength);
    const queue = this.#queue;
    const { device } = queue;
    queue.expectAlive();
    this.reads++;
    queue.flush();
    const { faults } = own;
    // Copied before anything is waited for: what is done to the storage from now on is not to be seen.
    const copied = new Fault();
    const { staging, mapped } = queue.attempt(copied, "read", () => {
      const staging = device.createBuffer({ size: Math.max(4, byteLength), usage: GPU_MAP_READ | GPU_COPY_DST });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(own.chunk.buffer, offset, staging, 0, byteLength);
      device.queue.submit([encoder.finish()]);
      return { staging, mapped: staging.mapAsync(MAP_READ) };
    });
    try {
      const refused = await mapped.then(
        () => undefined,
        (cause: unknown) => ({ cause }),
      );
      await queue.settled([...faults, copied]);
      if (refused !== undefined) {
        await turn(); // a device says that it is lost after its other promises are settled
        queue.expectAlive();
        this.expectOpen("read");
        throw new BackendError(`read: the device must hand ${byteLength} bytes over, but it did not`, refused);
      }
      return new Uint8Array(staging.getMappedRange().slice(0, byteLength));
    } finally {
      staging.destroy();
    }
  }

  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number } {
    return { buffers: this.#buffers, bytes: this.#bytes, scratch: this.#pool.idleBytes };
  }

  close(): void {
    for (const chunk of this.#chunks) this.#destroy(chunk);
    this.#closed = true;
    this.#buffers = 0;
    this.#bytes = 0;
  }

  /** The storage as one of this backend's own. */
  own(where: string, storage: Storage): GpuStorage {
    if (storage instanceof GpuStorage && storage.memory === this) return storage;
    throw foreignStorage(where, "webgpu");
  }
}

/** `GPUMapMode.READ` */
const MAP_READ = 1;
