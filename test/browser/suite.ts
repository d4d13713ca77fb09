// Runs in the browser, in a page or in a worker: opens a backend there and runs cases of the exported suite by name.
import type { Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { gpujs } from "qwen-blocks/gpujs";
import { conformanceCases, type ConformanceCase } from "qwen-blocks/testing";
import { wasm, type Build } from "qwen-blocks/wasm";
import { webgpu } from "qwen-blocks/webgpu";

/** What crosses from the test to the browser. */
export interface Options {
  /** wasm, with the options below, unless given. */
  readonly kind?: "wasm" | "webgpu" | "gpujs" | "cpu";
  /** Calls drawn per case; as many as the suite draws by itself unless given. */
  readonly runs?: number;
  readonly threads?: number;
  readonly build?: Build;
  /** The file that the page's own workers run; without it they come from the library. */
  readonly workerFile?: string;
}

let backend: Backend | undefined;
let cases: readonly ConformanceCase[] = [];

function openKind({ kind, workerFile, threads, build }: Options): Promise<Backend> {
  if (kind === "webgpu") return webgpu();
  if (kind === "gpujs") return gpujs();
  if (kind === "cpu") return cpu();
  const options = { threads, build };
  return wasm(workerFile === undefined ? options : { ...options, worker: () => new Worker(workerFile) });
}

/** Opens the backend and returns its `info` and the names of the cases. */
export async function open(
  options: Options,
  seed: number,
): Promise<{ readonly info: Backend["info"]; readonly names: readonly string[] }> {
  backend = await openKind(options);
  cases = conformanceCases(backend, { seed, runs: options.runs, open: () => openKind(options) });
  return { info: backend.info, names: cases.map(({ name }) => name) };
}

/** The backend that is open. */
export function opened(): Backend {
  if (backend === undefined) throw new Error("opened: a backend must be open, got none");
  return backend;
}

export async function runCase(name: string): Promise<void> {
  const found = cases.find((one) => one.name === name);
  if (found === undefined) throw new Error(`runCase: the suite must have this case, got "${name}"`);
  await found.run();
}

export async function close(): Promise<void> {
  await backend?.[Symbol.asyncDispose]();
}

/** The error that opening ends in. */
export async function refusal(options: Options): Promise<{ readonly name: string; readonly message: string }> {
  try {
    await using opened = await openKind(options);
    return { name: "none", message: `opened: ${JSON.stringify(opened.info)}` };
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}
