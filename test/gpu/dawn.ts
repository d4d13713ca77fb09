// WebGPU in Node for these tests: Dawn from the packages of this folder, which only `npm run test:gpu` installs.
import { webgpu, type WebGpuBackend, type WebGpuOptions } from "qwen-blocks/webgpu";

interface Dawn {
  create(options: readonly string[]): GPU;
}

/** Not a literal: types are checked where the package is not installed. */
const packageName = "webgpu";
let entry: Promise<GPU> | undefined;

/** One entry point for all tests of the process; a second one would be a second Dawn. */
export function dawn(): Promise<GPU> {
  entry ??= (import(packageName) as Promise<Dawn>).then(({ create }) => create([]));
  return entry;
}

export async function openInNode(options: WebGpuOptions = {}): Promise<WebGpuBackend> {
  return webgpu({ gpu: await dawn(), ...options });
}

/** A device as a caller of the library would bring one, with what WebGPU promises everywhere. */
export async function plainDevice(): Promise<GPUDevice> {
  const adapter = await (await dawn()).requestAdapter();
  if (adapter === null) throw new Error("the adapter was there before the tests began");
  return adapter.requestDevice();
}
