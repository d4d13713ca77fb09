// Runs in the browser, in a page or in a worker: opens the wasm backend there and runs cases of the exported suite by name.
import type { Backend } from "qwen-blocks";
import { conformanceCases, type ConformanceCase } from "qwen-blocks/testing";
import { wasm, type Build } from "qwen-blocks/wasm";

/** What crosses from the test to the browser. */
export interface Options {
  readonly threads?: number;
  readonly build?: Build;
  /** The file that the page's own workers run; without it they come from the library. */
  readonly workerFile?: string;
}

let backend: Backend | undefined;
let cases: readonly ConformanceCase[] = [];

function openWasm({ workerFile, ...options }: Options): Promise<Backend> {
  return wasm(workerFile === undefined ? options : { ...options, worker: () => new Worker(workerFile) });
}

/** Opens the backend and returns its `info` and the names of the cases. */
export async function open(
  options: Options,
  seed: number,
): Promise<{ readonly info: Backend["info"]; readonly names: readonly string[] }> {
  backend = await openWasm(options);
  cases = conformanceCases(backend, { seed, open: () => openWasm(options) });
  return { info: backend.info, names: cases.map(({ name }) => name) };
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
    await using opened = await openWasm(options);
    return { name: "none", message: `opened: ${JSON.stringify(opened.info)}` };
  } catch (error) {
    const { name, message } = error as Error;
    return { name, message };
  }
}
