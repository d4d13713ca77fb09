// The webgpu backend: kernels in WGSL. Calls are noted down and handed over in batches; only reading waits.
import { BackendError } from "../../core/errors.js";
import type { Backend } from "../backend.js";
import { describedNames } from "./described.js";
import { openDevice, type OpenDevice } from "./device.js";
import { BindGroups, Engine } from "./engine.js";
import { webGpuFeatures, type WebGpuFeature } from "./features.js";
import { kernelsOf } from "./kernels.js";
import { GpuMemory } from "./memory.js";
import { ownFormats } from "./packed.js";
import { Pipelines } from "./pipelines.js";
import { profile } from "./profile.js";
import type { ProfiledDispatch } from "./profiled-dispatch.js";
import { Queue } from "./queue.js";
import { compileDispatches } from "./replay.js";

export type { ProfiledDispatch, WebGpuFeature };

export interface WebGpuOptions {
  /** A `GPUDevice` to compute on, which stays the caller's and is never destroyed. Default: one of the backend's own. */
  readonly device?: object;
  /** A `GPU` to ask for an adapter, such as `create([...])` of the package "webgpu". Default: `navigator.gpu`, in Node that package's. */
  readonly gpu?: object;
  /** Optional features that kernels may use where the device has them. Default: all that they have variants for. */
  readonly features?: readonly WebGpuFeature[];
}

/** What has been done so far, and what is held. */
export interface WebGpuCounters {
  readonly dispatches: number;
  readonly submits: number;
  readonly reads: number;
  readonly pipelines: number;
  readonly bindGroups: number;
  /** Buffers of the device, free ones included. */
  readonly buffers: number;
}

export interface WebGpuBackend extends Backend {
  counters(): WebGpuCounters;
  /** Runs `fn` and lists its dispatches, in order, each with its time where the device has timestamps. */
  profile(fn: () => void | Promise<void>): Promise<readonly ProfiledDispatch[]>;
}

/**
 * Opens a webgpu backend: in a browser on `navigator.gpu`, in Node on the package "webgpu", an optional peer.
 * @throws BackendError without WebGPU, an adapter, or a device
 */
export async function webgpu({ device, gpu, features = webGpuFeatures }: WebGpuOptions = {}): Promise<WebGpuBackend> {
  const unknown = features.find((name) => !webGpuFeatures.includes(name));
  if (unknown !== undefined) {
    throw new BackendError(`webgpu: features must be some of ${webGpuFeatures.join(", ")}, got ${String(unknown)}`);
  }
  return backendOn(await openDevice(device as GPUDevice | undefined, gpu as GPU | undefined, features));
}

function backendOn({ device, features, borrowed, adapter }: OpenDevice): WebGpuBackend {
  const { maxStorageBufferBindingSize, maxBufferSize, maxComputeWorkgroupsPerDimension } = device.limits;
  // Bindings begin and end at multiples of 256, and a tensor is bound in two pieces at most.
  const window = Math.floor(maxStorageBufferBindingSize / 256) * 256;
  const maxBufferBytes = Math.min(Math.floor(maxBufferSize / 256) * 256, 2 * window - 256);
  const queue = new Queue(device);
  const memory = new GpuMemory(queue, maxBufferBytes);
  const pipelines = new Pipelines(queue, window / 4);
  const groups = new BindGroups(queue, pipelines);
  const engine = new Engine({
    memory,
    pipelines,
    groups,
    limits: { window, groupsPerDimension: maxComputeWorkgroupsPerDimension },
    abilities: {
      subgroups: features.has("subgroups"),
      packedDot: features.has("packed_4x8_integer_dot_product"),
      emulated: adapter.fallback,
    },
    sink: {
      slot: (compiled) => queue.slot(compiled),
      push: (dispatch) => queue.push(dispatch),
      take: (byteLength) => memory.take(byteLength),
      put: (storage) => memory.put(storage),
    },
  });
  const { kernels, declined } = kernelsOf(engine);
  return {
    name: "webgpu",
    info: {
      adapter: adapter.name,
      ...(adapter.fallback ? { fallback: "the adapter is emulated on the CPU" } : {}),
      features: [...features].join(" "),
      maxBufferBytes,
      maxBindingBytes: window,
      native: Object.keys(kernels).join(" "),
      /** Ops of which calls were, so far. */
      get declined() {
        return [...declined].join(" ");
      },
    },
    features: {
      accuracy: "wgsl",
      maxBufferBytes,
      schemes: Object.fromEntries([...ownFormats, ...describedNames].map((name) => [name, "plain"])),
      encodes: ownFormats,
    },
    memory,
    kernels,
    compile: (commands) => compileDispatches(engine, queue, commands),
    counters: () => ({
      dispatches: queue.dispatches,
      submits: queue.submits,
      reads: memory.reads,
      pipelines: pipelines.count,
      bindGroups: groups.count,
      buffers: memory.chunks,
    }),
    profile: (fn) => profile(queue, features.has("timestamp-query"), fn),
    flush() {
      memory.expectOpen("flush");
      queue.flush();
    },
    async idle() {
      memory.expectOpen("idle");
      await queue.idle();
    },
    async [Symbol.asyncDispose]() {
      if (memory.closed) return;
      memory.close();
      queue.close();
      if (!borrowed) device.destroy();
    },
  };
}
