// Buffers of the device, kept for the next tensor of their size when they are free. The oldest goes first, whenever it was freed: so a step that
// runs again gets the same buffers, and finds its bind groups, where the last one freed would come back in ever new orders.

import type { Fault } from "./fault.js";

/** A buffer with what its users must know about it. */
export interface Chunk {
  readonly buffer: GPUBuffer;
  /** Names it in the keys of bind groups. */
  readonly id: number;
  readonly size: number;
  /** Whether the device had the memory. */
  readonly granted: Fault;
  /** The batch of dispatches that used it last. */
  batch: number;
}

export class Pool {
  /** By size; the oldest is the last of its list. */
  readonly #idle = new Map<number, Chunk[]>();
  readonly #make: (size: number) => Chunk;
  readonly #destroy: (chunk: Chunk) => void;
  readonly #maxBytes: number;
  readonly #maxIdleBytes: number;
  #idleBytes = 0;

  /** @param maxBytes the largest buffer, a multiple of 256 @param maxIdleBytes free buffers beyond this are destroyed */
  constructor(
    make: (size: number) => Chunk,
    destroy: (chunk: Chunk) => void,
    { maxBytes, maxIdleBytes }: { readonly maxBytes: number; readonly maxIdleBytes: number },
  ) {
    this.#make = make;
    this.#destroy = destroy;
    this.#maxBytes = maxBytes;
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** Bytes of free buffers. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** A buffer of at least so many bytes. */
  take(byteLength: number): Chunk {
    const size = Math.min(sizeClass(byteLength), this.#maxBytes);
    const chunk = this.#idle.get(size)?.pop();
    if (chunk === undefined) return this.#make(size);
    this.#idleBytes -= size;
    if (chunk.granted.error === undefined) return chunk;
    this.#destroy(chunk);
    return this.take(byteLength);
  }

  put(chunk: Chunk): void {
    if (this.#idleBytes + chunk.size > this.#maxIdleBytes || chunk.granted.error !== undefined) {
      this.#destroy(chunk);
      return;
    }
    const idle = this.#idle.get(chunk.size);
    if (idle === undefined) this.#idle.set(chunk.size, [chunk]);
    else idle.splice(placeOf(chunk, idle), 0, chunk);
    this.#idleBytes += chunk.size;
  }
}

/** Where a chunk belongs among others, newest first. */
function placeOf({ id }: Chunk, chunks: readonly Chunk[]): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (chunks[middle].id > id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Eight sizes to each power of two, so that at most an eighth is wasted; multiples of 256 bytes. */
export function sizeClass(byteLength: number): number {
  const step = Math.max(256, 2 ** (Math.floor(Math.log2(Math.max(1, byteLength))) - 3));
  return Math.max(1, Math.ceil(byteLength / step)) * step;
}
