// The wasm backend: kernels in WebAssembly with SIMD over one shared memory, on as many threads as there are. The numbers are f32 throughout.
import { BackendError } from "../../core/errors.js";
import type { Backend } from "../backend.js";
import { EagerEngine } from "./engine.js";
import { kernelsOf } from "./kernels.js";
import { WasmMemory } from "./memory.js";
import { compile, instantiate, type Build } from "./module.js";
import { packing } from "./packed-rows.js";
import { openPool, type Pool } from "./pool.js";
import { compileProgram } from "./replay.js";
import { workerSource } from "./worker-source.js";

export { workerSource };
export type { Build };

export interface WasmOptions {
  /** Threads, the calling one included. Default: one per core, at most 8; 1 where memory cannot be shared with workers. */
  readonly threads?: number;
  /** Only this build. Default: "relaxed" where the engine has it and computes the right values, else "simd128". */
  readonly build?: Build;
  /** Makes a worker out of a file that holds {@link workerSource}, for pages whose policy forbids blob: workers. Called once per worker. */
  readonly worker?: () => Worker;
}

/** The first page belongs to the scheduler, the command and constants (assembly/build.mjs). */
const HEAP_START = 65536;
const MAX_PAGES = 65536;
const MAX_THREADS = 8;

/**
 * Opens a wasm backend with memory and threads of its own.
 * @throws BackendError if WebAssembly is forbidden, if the engine lacks SIMD or shared memory, or if `threads` cannot be had
 */
export async function wasm({ threads, build, worker }: WasmOptions = {}): Promise<Backend> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
    throw new BackendError(`wasm: threads must be an integer from 1 to 64, got ${threads}`);
  }
  const compiled = await compile(build);
  const linear = openMemory();
  const memory = new WasmMemory(linear.memory, HEAP_START, linear.pages);
  const exports = instantiate(compiled.module, linear.memory);
  const { count, why } = countThreads(threads);
  const pool: Pool | undefined =
    count > 1 ? await openPool(count - 1, compiled.module, linear.memory, exports.spin, worker) : undefined;
  const engine = new EagerEngine(memory, count, exports.run);
  return {
    name: "wasm",
    info: {
      threads: count,
      build: compiled.build,
      ...(why === "" ? {} : { whyNotMoreThreads: why }),
      ...(compiled.why === "" ? {} : { whyNotRelaxed: compiled.why }),
      maxMemoryBytes: linear.pages * 65536,
    },
    features: {
      accuracy: "ieee",
      maxBufferBytes: (linear.pages - 2) * 65536,
      ...packing,
    },
    memory,
    kernels: kernelsOf(engine),
    compile: (commands) => compileProgram(memory, count, exports.replay, commands),
    flush() {
      memory.expectOpen("flush");
    },
    async idle() {
      memory.expectOpen("idle");
    },
    async [Symbol.asyncDispose]() {
      memory.close();
      await pool?.close();
    },
  };
}

/** Address space is reserved for the maximum at once; where that is refused, half of it is asked for, and so on. */
function openMemory(): { readonly memory: WebAssembly.Memory; readonly pages: number } {
  for (let pages = MAX_PAGES; ; pages /= 2) {
    try {
      return { memory: new WebAssembly.Memory({ initial: 16, maximum: pages, shared: true }), pages };
    } catch (cause) {
      if (pages <= 1024)
        throw new BackendError("wasm: a shared memory of 64 MiB must be possible, got none", { cause });
    }
  }
}

function countThreads(asked: number | undefined): { readonly count: number; readonly why: string } {
  const { crossOriginIsolated, navigator, process } = globalThis as {
    crossOriginIsolated?: boolean;
    navigator?: { hardwareConcurrency?: number };
    process?: { getBuiltinModule?(name: string): unknown };
  };
  const os = process?.getBuiltinModule?.("node:os") as { availableParallelism(): number } | undefined;
  if (os === undefined && crossOriginIsolated !== true) {
    if (asked !== undefined && asked > 1) {
      throw new BackendError(
        `wasm: ${asked} threads need a cross-origin isolated page, got one that is not; send the headers Cross-Origin-Opener-Policy: ` +
          `same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave threads out`,
      );
    }
    return { count: 1, why: "the page is not cross-origin isolated" };
  }
  if (asked !== undefined) return { count: asked, why: "the caller asked for this number" };
  const cores = os?.availableParallelism() ?? navigator?.hardwareConcurrency ?? 1;
  return {
    count: Math.min(cores, MAX_THREADS),
    why: cores > MAX_THREADS ? `at most ${MAX_THREADS}` : `${cores} cores`,
  };
}
