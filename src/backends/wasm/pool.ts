// The other threads: Workers that wait inside WebAssembly. They never keep a process alive, and end with the backend.
import { BackendError } from "../../core/errors.js";
import { CALLER_MAY_SLEEP, GENERATION, SPINS, STOP, WORKERS } from "./layout.js";
import { workerSource } from "./worker-source.js";

const SPIN_MICROSECONDS = 50;

export interface Pool {
  close(): Promise<void>;
}

/** One worker as both worlds have it. */
interface Thread {
  start(message: object): Promise<void>;
  terminate(): Promise<unknown>;
}

/**
 * Starts `count` workers and resolves when each has said that it listens. `worker`: where page policy forbids blob workers, the caller's own.
 * @throws BackendError if one does not start
 */
export async function openPool(
  count: number,
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  spin: (times: number) => number,
  worker: (() => Worker) | undefined,
): Promise<Pool> {
  const words = new Int32Array(memory.buffer, 0, 512);
  words[SPINS / 4] = spinsFor(spin);
  words[CALLER_MAY_SLEEP / 4] = mayWait() ? 1 : 0;
  const threads: Thread[] = [];
  const close = async (): Promise<void> => {
    Atomics.store(words, WORKERS / 4, 0);
    Atomics.store(words, STOP / 4, 1);
    Atomics.add(words, GENERATION / 4, 1);
    Atomics.notify(words, GENERATION / 4);
    await Promise.all(threads.map((thread) => thread.terminate()));
  };
  const { openThread, done } = opener(worker);
  try {
    for (let thread = 1; thread <= count; thread++) threads.push(openThread());
    await Promise.all(threads.map((thread, i) => thread.start({ module, memory, thread: i + 1 })));
  } catch (cause) {
    await close();
    const reason = (cause as Partial<ErrorEvent> | null)?.message || "an error that gives no reason";
    throw new BackendError(`wasm: every worker must start, got ${reason}; ${advice(worker)}`, { cause });
  } finally {
    done();
  }
  Atomics.store(words, WORKERS / 4, count);
  return { close };
}

/** How often to look at a word for 50 us. */
function spinsFor(spin: (times: number) => number): number {
  const times = 100_000;
  let best = Infinity;
  for (let round = 0; round < 3; round++) {
    const start = performance.now();
    spin(times);
    best = Math.min(best, performance.now() - start);
  }
  return Math.ceil((SPIN_MICROSECONDS * times) / Math.max(best * 1000, 1));
}

/** A browser's main thread must not wait. */
function mayWait(): boolean {
  return typeof document === "undefined";
}

interface NodeWorkers {
  readonly Worker: new (source: string, options: { eval: true; execArgv: readonly string[] }) => NodeWorker;
}
interface NodeWorker {
  unref(): void;
  once(event: "message" | "error", listener: (value: unknown) => void): void;
  postMessage(message: object): void;
  terminate(): Promise<unknown>;
}

function nodeWorkers(): NodeWorkers | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?(name: string): unknown } };
  return process?.getBuiltinModule?.("node:worker_threads") as NodeWorkers | undefined;
}

interface Opener {
  openThread(): Thread;
  /** To be called when all threads have started, or none will. */
  done(): void;
}

function opener(worker: (() => Worker) | undefined): Opener {
  if (worker !== undefined) return { openThread: () => webThread(worker()), done() {} };
  const node = nodeWorkers();
  if (node !== undefined) {
    return { openThread: () => nodeThread(new node.Worker(workerSource, { eval: true, execArgv: [] })), done() {} };
  }
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  return { openThread: () => webThread(new Worker(url)), done: () => URL.revokeObjectURL(url) };
}

function advice(worker: (() => Worker) | undefined): string {
  return worker === undefined
    ? `where the page has a Content-Security-Policy, allow "worker-src blob:" or pass wasm({ worker }); or ask for threads: 1`
    : `wasm({ worker }) must give a Worker of a file that holds workerSource, served with the page's Cross-Origin-Embedder-Policy`;
}

function nodeThread(worker: NodeWorker): Thread {
  return {
    start(message) {
      const ready = new Promise<void>((resolve, reject) => {
        worker.once("message", () => resolve());
        worker.once("error", reject);
      });
      worker.postMessage(message);
      return ready.finally(() => worker.unref());
    },
    terminate: () => worker.terminate(),
  };
}

function webThread(worker: Worker): Thread {
  return {
    start(message) {
      const ready = new Promise<void>((resolve, reject) => {
        worker.onmessage = () => resolve();
        worker.onerror = reject; // an Event without a message where a policy forbids the worker
      });
      worker.postMessage(message);
      return ready;
    },
    async terminate() {
      worker.terminate();
    },
  };
}
