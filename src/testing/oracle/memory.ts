// Memory of the oracle. Each 4-byte cell holds its word, the number in f64 that f32 arithmetic should have reached, and how far off it may be.
import { BackendError, DisposedError } from "../../core/errors.js";
import type { Storage } from "../../core/view.js";
import type { Memory } from "../../backends/backend.js";

/**
 * What the bound of a cell is about. `word`: the integer, off by at most the bound (of a word from the host, whatever its type, 0).
 * `float`: the f32 number near `value`. `codes`: the numbers that packed codes stand for.
 */
export const kinds = { word: 0, float: 1, codes: 2 } as const;

/** What memory holds before anything was written: a NaN that is easy to recognise. */
const UNWRITTEN = 0x7fc0_0bad;

export class OracleStorage implements Storage {
  readonly byteLength: number;
  readonly words: Uint32Array<ArrayBuffer>;
  readonly value: Float64Array;
  readonly bound: Float64Array;
  readonly kind: Uint8Array;
  live = true;

  constructor(byteLength: number) {
    const cells = Math.ceil(byteLength / 4);
    this.byteLength = byteLength;
    this.words = new Uint32Array(cells).fill(UNWRITTEN);
    this.value = new Float64Array(cells);
    this.bound = new Float64Array(cells);
    this.kind = new Uint8Array(cells);
  }
}

/** The storage as the oracle's own. @throws BackendError */
export function oracleStorage(storage: Storage): OracleStorage {
  if (!(storage instanceof OracleStorage)) {
    throw new BackendError("oracle: storage must be the oracle's own, got a foreign one; copy the numbers over first");
  }
  if (!storage.live)
    throw new BackendError("oracle: storage must be alive, got a freed one; free it after its last use");
  return storage;
}

export class OracleMemory implements Memory {
  #buffers = 0;
  #bytes = 0;
  #closed = false;

  alloc(byteLength: number): Storage {
    if (this.#closed) throw new DisposedError("alloc: the oracle must be open, got a closed one; make another");
    this.#buffers++;
    this.#bytes += byteLength;
    return new OracleStorage(byteLength);
  }

  free(storage: Storage): void {
    oracleStorage(storage).live = false;
    this.#buffers--;
    this.#bytes -= storage.byteLength;
  }

  /** Words from the host are exact. */
  write(storage: Storage, offset: number, bytes: Uint8Array): void {
    const own = oracleStorage(storage);
    new Uint8Array(own.words.buffer).set(bytes, offset);
    const [from, to] = [Math.floor(offset / 4), Math.ceil((offset + bytes.byteLength) / 4)];
    own.kind.fill(kinds.word, from, to);
    own.bound.fill(0, from, to);
  }

  /** Numbers rounded to f32. */
  async read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(oracleStorage(storage).words.buffer.slice(offset, offset + byteLength));
  }

  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number } {
    return { buffers: this.#buffers, bytes: this.#bytes, scratch: 0 };
  }

  close(): void {
    this.#closed = true;
  }
}
