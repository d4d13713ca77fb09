// Memory of the gpujs backend: each storage lies on the host, on the GPU as a texture, or on both with the same numbers. It goes where a kernel
// needs it, when one does.
import { OutOfMemoryError } from "../../core/errors.js";
import { sizeOf } from "../../core/shape.js";
import type { Storage, View } from "../../core/view.js";
import type { Memory } from "../backend.js";
import { CpuMemory, MAX_BUFFER_BYTES } from "../cpu/memory.js";
import { floats } from "../cpu/read.js";
import { closedBackend, expectLength, expectRange, foreignStorage, freedStorage } from "../storage-rules.js";
import { turn } from "../turn.js";
import type { Texture } from "./gpu-js.js";

/** Moves numbers between host and GPU. */
export interface Transfer {
  upload(numbers: Float32Array): Texture;
  download(texture: Texture, length: number): Float32Array;
}

/** A kernel's own window; `using` ends it with the block. */
export interface Scratch extends View, Disposable {}

class GpuJsStorage implements Storage {
  readonly byteLength: number;
  readonly memory: GpuJsMemory;
  alive = true;
  /** At least one of the two holds the numbers, once there are any. */
  host: Storage | undefined;
  texture: Texture | undefined;

  constructor(memory: GpuJsMemory, byteLength: number) {
    this.memory = memory;
    this.byteLength = byteLength;
  }
}

export class GpuJsMemory implements Memory {
  readonly #host = new CpuMemory();
  readonly #live = new Set<GpuJsStorage>();
  #buffers = 0;
  #bytes = 0;
  #scratch = 0;
  #closed = false;
  /** Set once there is a device. */
  transfer: Transfer | undefined;

  /** @throws DisposedError after {@link close} */
  expectOpen(where: string): void {
    if (this.#closed) throw closedBackend(where, "gpujs");
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Storages that have a texture. */
  get textures(): number {
    return [...this.#live].filter(({ texture }) => texture !== undefined).length;
  }

  alloc(byteLength: number): Storage {
    const storage = this.#make(byteLength);
    this.#buffers++;
    this.#bytes += byteLength;
    return storage;
  }

  free(storage: Storage): void {
    if (this.#closed) return; // closing freed everything; a tensor may be disposed after its backend
    this.#release(this.#own("free", storage));
    this.#buffers--;
    this.#bytes -= storage.byteLength;
  }

  /** A window of its own that lives until it is disposed of, apart from what callers hold. @param numbers what it holds */
  scratch(length: number, numbers?: Float32Array): Scratch {
    const storage = this.#make(length * 4);
    this.#scratch += storage.byteLength;
    const view: View = { storage, dtype: "f32", shape: [length], offset: 0 };
    if (numbers !== undefined) floats(this.writable(view)).set(numbers);
    return {
      ...view,
      [Symbol.dispose]: () => {
        this.#release(storage);
        this.#scratch -= storage.byteLength;
      },
    };
  }

  write(storage: Storage, offset: number, bytes: Uint8Array): void {
    this.expectOpen("write");
    const own = this.#own("write", storage);
    expectRange("write", own, offset, bytes.byteLength);
    this.#host.write(this.#toWrite(own), offset, bytes);
  }

  async read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    this.expectOpen("read");
    const own = this.#own("read", storage);
    expectRange("read", own, offset, byteLength);
    const reading = this.#host.read(this.#toRead(own), offset, byteLength);
    await turn();
    return reading;
  }

  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number } {
    return { buffers: this.#buffers, bytes: this.#bytes, scratch: this.#scratch };
  }

  close(): void {
    for (const storage of this.#live) storage.texture?.delete();
    this.#closed = true;
    this.#live.clear();
    this.#host.close();
    this.#buffers = 0;
    this.#bytes = 0;
  }

  /** The same window over the host's memory, for a kernel that reads it. */
  readable(view: View): View {
    return { ...view, storage: this.#toRead(this.#own("kernel", view.storage)) };
  }

  /** The same, for a kernel that writes into it; what it leaves as it is stays. */
  writable(view: View): View {
    return { ...view, storage: this.#toWrite(this.#own("kernel", view.storage)) };
  }

  /** All numbers of the window's storage, on the host. */
  numbersOf({ storage }: View): Float32Array {
    return floats(whole(this.#toRead(this.#own("kernel", storage))));
  }

  /** The same, on the GPU. */
  textureOf({ storage }: View): Texture {
    const own = this.#own("kernel", storage);
    own.texture ??= this.#transfer().upload(floats(whole(this.#toRead(own))));
    return own.texture;
  }

  /** Gives the texture over to the storage of y, where it is all that y's storage has; else its numbers go to y's window. */
  store(y: View, texture: Texture): void {
    const own = this.#own("kernel", y.storage);
    const length = sizeOf(y.shape);
    if (length * 4 === own.byteLength) {
      this.#drop(own);
      own.texture = texture;
      return;
    }
    const numbers = this.#transfer().download(texture, length);
    texture.delete();
    floats(this.writable(y)).set(numbers);
  }

  #make(byteLength: number): GpuJsStorage {
    this.expectOpen("alloc");
    expectLength(byteLength);
    if (byteLength > MAX_BUFFER_BYTES) {
      throw new OutOfMemoryError(
        `alloc: a buffer must have at most ${MAX_BUFFER_BYTES} bytes and fit into memory, got ${byteLength}; use smaller tensors`,
      );
    }
    const storage = new GpuJsStorage(this, byteLength);
    this.#live.add(storage);
    return storage;
  }

  #release(own: GpuJsStorage): void {
    this.#drop(own);
    own.alive = false;
    this.#live.delete(own);
  }

  #drop(own: GpuJsStorage): void {
    own.texture?.delete();
    own.texture = undefined;
    if (own.host !== undefined) this.#host.free(own.host);
    own.host = undefined;
  }

  #toRead(own: GpuJsStorage): Storage {
    if (own.host === undefined) {
      own.host = this.#host.alloc(own.byteLength);
      if (own.texture !== undefined) {
        const all = floats(whole(own.host));
        all.set(this.#transfer().download(own.texture, all.length));
      }
    }
    return own.host;
  }

  #toWrite(own: GpuJsStorage): Storage {
    const host = this.#toRead(own);
    own.texture?.delete();
    own.texture = undefined;
    return host;
  }

  #transfer(): Transfer {
    if (this.transfer === undefined) throw new Error("gpujs: memory must have a device before its first texture");
    return this.transfer;
  }

  #own(where: string, storage: Storage): GpuJsStorage {
    this.expectOpen(where);
    if (!(storage instanceof GpuJsStorage) || storage.memory !== this) throw foreignStorage(where, "gpujs");
    if (!storage.alive) throw freedStorage(storage.byteLength);
    return storage;
  }
}

const whole = (storage: Storage): View => ({
  storage,
  dtype: "f32",
  shape: [Math.floor(storage.byteLength / 4)],
  offset: 0,
});
