// Where kernels hand over their work: addresses of views, scratch memory, and the launch of a command on all threads.
import { BackendError } from "../../core/errors.js";
import type { View } from "../../core/view.js";
import { NUMBERS, WORDS } from "./layout.js";
import type { WasmMemory } from "./memory.js";

/** The command that is run at once. */
const COMMAND = 1024;
const COMMAND_BYTES = 4096;

/** What the module exports. */
export interface Exports {
  run(command: number): void;
  replay(list: number, count: number): void;
  serve(thread: number): void;
  spin(times: number): number;
  probe(one: number): number;
}

/** What kernels see of it: they encode their commands, and do not know whether these run at once. */
export abstract class Engine {
  readonly memory: WasmMemory;
  /** Threads that run tiles, the caller included. Nothing that a kernel computes may depend on it; scratch memory does. */
  readonly threads: number;

  constructor(memory: WasmMemory, threads: number) {
    this.memory = memory;
    this.threads = threads;
  }

  /** The address of a view's first element. */
  at(view: View): number {
    return this.memory.own("wasm", view.storage).address + view.offset * 4;
  }

  /** Addresses of blocks for this kernel call, until it asks again. */
  scratch(...byteLengths: readonly number[]): number[] {
    const ends: number[] = [];
    let end = 0;
    for (const byteLength of byteLengths) ends.push((end += Math.ceil(byteLength / 64) * 64));
    const start = this.arena(end);
    return [start, ...ends.slice(0, -1).map((offset) => start + offset)];
  }

  /** A command of so many tiles for all threads; the next one finds it done. */
  abstract launch(code: number, tiles: number, words: readonly number[], numbers?: readonly number[]): void;

  /** Where scratch memory of at least so many bytes begins. */
  protected abstract arena(byteLength: number): number;
}

/** Runs each command at once and returns when it is done. */
export class EagerEngine extends Engine {
  readonly #run: (command: number) => void;
  readonly #head: Uint32Array;
  readonly #numbers: Float64Array;
  readonly #words: Uint32Array;

  constructor(memory: WasmMemory, threads: number, run: Exports["run"]) {
    super(memory, threads);
    this.#run = run;
    // The first page is never out of reach of a window made now: shared memory grows in place.
    this.#head = new Uint32Array(memory.buffer, COMMAND, 2);
    this.#numbers = new Float64Array(memory.buffer, COMMAND + NUMBERS, 4);
    this.#words = new Uint32Array(memory.buffer, COMMAND + WORDS, (COMMAND_BYTES - WORDS) / 4);
  }

  launch(code: number, tiles: number, words: readonly number[], numbers: readonly number[] = []): void {
    this.memory.expectOpen("kernel");
    if (tiles === 0) return;
    if (words.length > this.#words.length)
      throw new BackendError(`wasm: a command of ${words.length} words is too long`);
    this.#head[0] = code;
    this.#head[1] = tiles;
    for (let i = 0; i < numbers.length; i++) this.#numbers[i] = numbers[i];
    for (let i = 0; i < words.length; i++) this.#words[i] = words[i];
    this.#run(COMMAND);
  }

  protected arena(byteLength: number): number {
    return this.memory.scratch(byteLength);
  }
}

/**
 * How many items of equal work one tile takes, so that a tile is worth handing to another thread: about 20 us, at a few operations per
 * nanosecond. A function of the shapes alone, like all that decides the order of a sum.
 */
export function perTile(items: number, operationsPerItem: number): number {
  const few = Math.ceil(TILE_OPERATIONS / Math.max(1, operationsPerItem));
  return Math.max(1, Math.min(items, few));
}
const TILE_OPERATIONS = 65536;
