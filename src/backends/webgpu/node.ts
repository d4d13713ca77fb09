// WebGPU in Node: the package "webgpu", which is Dawn. It is looked up when a backend is opened, and nowhere else.
import { BackendError } from "../../core/errors.js";

interface Dawn {
  create(options: readonly string[]): GPU;
}

/** Bundlers follow names that they can read; a page must not ask for a package of Node. */
const packageName = "webgpu";

/** One for all backends, since entry points are never given up. */
let entry: GPU | undefined;

/** @throws BackendError where the package is missing or cannot be loaded */
export async function openDawn(): Promise<GPU> {
  if (entry !== undefined) return entry;
  let dawn: Dawn;
  try {
    dawn = (await import(/* @vite-ignore */ /* webpackIgnore: true */ packageName)) as Dawn;
  } catch (cause) {
    throw new BackendError(
      `webgpu: in Node the package "webgpu" must be installed, but it could not be loaded (${(cause as Error).message}); npm install webgpu`,
      { cause },
    );
  }
  return (entry ??= dawn.create([]));
}
