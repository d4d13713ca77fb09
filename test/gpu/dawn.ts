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

/** The same, whose adapter does not say that it is emulated: then kernels are those of real GPUs. */
export async function asHardware(): Promise<GPU> {
  const gpu = await dawn();
  const adapterOf = async (options?: GPURequestAdapterOptions): Promise<GPUAdapter | null> => {
    const adapter = await gpu.requestAdapter(options);
    if (adapter === null) return null;
    const { features, limits } = adapter;
    const info = { ...adapter.info, isFallbackAdapter: false };
    const requestDevice = (descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> => adapter.requestDevice(descriptor);
    return { features, limits, info, requestDevice } as GPUAdapter;
  };
  return {
    requestAdapter: adapterOf,
    getPreferredCanvasFormat: () => gpu.getPreferredCanvasFormat(),
    wgslLanguageFeatures: gpu.wgslLanguageFeatures,
  } as GPU;
}

/** A device as a caller of the library would bring one, with what WebGPU promises everywhere. */
export async function plainDevice(): Promise<GPUDevice> {
  const adapter = await (await dawn()).requestAdapter();
  if (adapter === null) throw new Error("the adapter was there before the tests began");
  return adapter.requestDevice();
}
