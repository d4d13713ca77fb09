// The device that a backend computes on: the caller's, or one of its own with all that the adapter has.
import { BackendError } from "../../core/errors.js";
import type { WebGpuFeature } from "./features.js";
import { openDawn } from "./node.js";
import { MAX_WINDOWS } from "./pipelines.js";

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly features: ReadonlySet<WebGpuFeature>;
  /** Whether it is the caller's and stays alive. */
  readonly borrowed: boolean;
  readonly adapter: { readonly name: string; readonly fallback: boolean };
}

/** Dawn crashes where an entry point is collected before what came of it, so each one that gave a device lives as long as the program. */
const entryPoints = new Set<GPU>();

/** @param entryPoint of the caller @param wanted the optional features that may be used */
export async function openDevice(
  given: GPUDevice | undefined,
  entryPoint: GPU | undefined,
  wanted: readonly WebGpuFeature[],
): Promise<OpenDevice> {
  const gpu = entryPoint ?? (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (given !== undefined) return borrowed(given, gpu, wanted);
  const entry = gpu ?? (inNode() ? await openDawn() : undefined);
  if (entry === undefined) {
    throw new BackendError(
      "webgpu: navigator.gpu must exist, but this browser or page has none; use a browser with WebGPU and a secure page (https or localhost)",
    );
  }
  entryPoints.add(entry);
  const adapter = await entry.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) {
    throw new BackendError(
      "webgpu: the system must have a GPU adapter, got none; install a driver (Vulkan, Metal or D3D12), or use another backend",
    );
  }
  const device = await adapter
    .requestDevice({
      requiredFeatures: wanted.filter((name) => adapter.features.has(name)) as GPUFeatureName[],
      requiredLimits: largest(adapter.limits),
    })
    .catch((cause: unknown) => {
      throw new BackendError(`webgpu: the adapter must give a device, but it did not (${(cause as Error).message})`, {
        cause,
      });
    });
  return { device, features: featuresOf(device, entry, wanted), borrowed: false, adapter: named(adapter.info) };
}

function borrowed(device: GPUDevice, gpu: GPU | undefined, wanted: readonly WebGpuFeature[]): OpenDevice {
  const { maxStorageBuffersPerShaderStage: buffers } = device.limits;
  if (buffers < MAX_WINDOWS) {
    throw new BackendError(`webgpu: the device must allow ${MAX_WINDOWS} storage buffers per shader, got ${buffers}`);
  }
  return { device, features: featuresOf(device, gpu, wanted), borrowed: true, adapter: named(device.adapterInfo) };
}

const inNode = (): boolean =>
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;

/** Buffers as large as the adapter has them; of the rest no kernel takes more than every device has. */
const largest = ({ maxBufferSize, maxStorageBufferBindingSize }: GPUSupportedLimits): Record<string, number> => ({
  maxBufferSize,
  maxStorageBufferBindingSize,
});

function featuresOf(
  device: GPUDevice,
  gpu: GPU | undefined,
  wanted: readonly WebGpuFeature[],
): ReadonlySet<WebGpuFeature> {
  const has = (name: WebGpuFeature): boolean =>
    device.features.has(name) || gpu?.wgslLanguageFeatures.has(name) === true;
  return new Set(wanted.filter(has));
}

function named(info: GPUAdapterInfo | undefined): OpenDevice["adapter"] {
  const words = [info?.vendor, info?.architecture, info?.device, info?.description].filter(Boolean);
  return { name: words.join(" ") || "unknown", fallback: info?.isFallbackAdapter === true };
}
