// gpu.js for these tests, from the packages of this folder.
import { gpujs, type GpuJsBackend, type GpuJsOptions } from "qwen-blocks/gpujs";

/** Not a literal: types are checked where the package is not installed. */
const packageName = "gpu.js";

export async function gpuJsOptions(): Promise<GpuJsOptions> {
  return (await import(packageName)) as { readonly GPU: object };
}

export async function openGpuJs(): Promise<GpuJsBackend> {
  return gpujs(await gpuJsOptions());
}
