// Recorded commands as a program: what the kernels launch lies in linear memory, with scratch memory of its own, and one call runs it all.
import { BackendError } from "../../core/errors.js";
import { DECLINED, type Command, type Replay } from "../backend.js";
import { Engine, type Exports } from "./engine.js";
import { kernelsOf } from "./kernels.js";
import { NUMBERS, WORDS } from "./layout.js";
import type { WasmMemory } from "./memory.js";

interface Launch {
  readonly code: number;
  readonly tiles: number;
  readonly words: readonly number[];
  readonly numbers: readonly number[];
}

/**
 * Kernels encode by the shapes and places of their operands, never by what these hold, so what they launch now is what they launch each time.
 * The program's memory counts as one buffer.
 * @throws BackendError if a command has no kernel here, OutOfMemoryError
 */
export function compileProgram(
  memory: WasmMemory,
  threads: number,
  replay: Exports["replay"],
  commands: readonly Command[],
): Replay {
  // Once to learn the sizes, and again with the addresses.
  const sizes = encode(memory, threads, commands, 0);
  const start = sizes.scratchBytes;
  const list = Math.ceil((sizes.launches.length * 4) / 8) * 8;
  const byteLength = start + list + sizes.launches.reduce((sum, launch) => sum + bytesOf(launch), 0);
  const storage = memory.own("compile", memory.alloc(byteLength));
  const { launches } = encode(memory, threads, commands, storage.address);
  const index = new Uint32Array(memory.buffer, storage.address + start, launches.length);
  let at = storage.address + start + list;
  launches.forEach((launch, i) => {
    index[i] = at;
    write(memory.buffer, at, launch);
    at += bytesOf(launch);
  });
  return {
    run: () => replay(storage.address + start, launches.length),
    [Symbol.dispose]: () => memory.free(storage),
  };
}

/** Keeps launches instead of running them. All of them share the scratch memory at `base`, as they are done one after the other. */
class Encoder extends Engine {
  readonly launches: Launch[] = [];
  scratchBytes = 0;
  readonly #base: number;

  constructor(memory: WasmMemory, threads: number, base: number) {
    super(memory, threads);
    this.#base = base;
  }

  launch(code: number, tiles: number, words: readonly number[], numbers: readonly number[] = []): void {
    if (tiles > 0) this.launches.push({ code, tiles, words: [...words], numbers });
  }

  protected arena(byteLength: number): number {
    this.scratchBytes = Math.max(this.scratchBytes, byteLength);
    return this.#base;
  }
}

type AnyKernel = (inputs: unknown, outputs: unknown, attrs: unknown) => void | typeof DECLINED;

function encode(memory: WasmMemory, threads: number, commands: readonly Command[], base: number): Encoder {
  const encoder = new Encoder(memory, threads, base);
  const kernels = kernelsOf(encoder) as unknown as Readonly<Record<string, AnyKernel | undefined>>;
  for (const { op, inputs, outputs, attrs } of commands) {
    const kernel = kernels[op];
    if (kernel === undefined || kernel(inputs, outputs, attrs) === DECLINED) {
      throw new BackendError(
        `compile: each command must be one that a kernel here ran, got ${op}; record it on this backend`,
      );
    }
  }
  return encoder;
}

/** Commands begin at multiples of 8, for their f64. */
function bytesOf({ words }: Launch): number {
  return Math.ceil((WORDS + words.length * 4) / 8) * 8;
}

function write(buffer: ArrayBufferLike, at: number, { code, tiles, words, numbers }: Launch): void {
  new Uint32Array(buffer, at, 2).set([code, tiles]);
  new Float64Array(buffer, at + NUMBERS, 4).set(numbers);
  new Uint32Array(buffer, at + WORDS, words.length).set(words);
}
