// The gpujs backend: products, maps, reductions and attention as programs of gpu.js, on WebGL2 in browsers; the rest on the host.
import { schemes } from "../../quant/schemes/schemes.js";
import type { Backend } from "../backend.js";
import { MAX_BUFFER_BYTES } from "../cpu/memory.js";
import { Engine } from "./engine.js";
import type { GpuClass } from "./gpu-js.js";
import { kernelsOf } from "./kernels.js";
import { GpuJsMemory } from "./memory.js";
import { openGpu } from "./open.js";

export interface GpuJsOptions {
  /** The class `GPU` of the package gpu.js. Default: imported by that name, which bundlers resolve. */
  readonly GPU?: object;
}

/** What has been done so far, and what is held. */
export interface GpuJsCounters {
  /** Of programs. */
  readonly runs: number;
  readonly uploads: number;
  readonly downloads: number;
  /** That gpu.js compiled. */
  readonly programs: number;
  /** Storages that lie on the GPU. */
  readonly textures: number;
}

export interface GpuJsBackend extends Backend {
  counters(): GpuJsCounters;
}

/**
 * Opens a gpujs backend: in a browser on WebGL2; in Node gpu.js computes in JavaScript, which serves tests alone. `info.mode` says which.
 * @throws BackendError without the package gpu.js, an optional peer, or without WebGL2 that computes in floats
 */
export async function gpujs({ GPU }: GpuJsOptions = {}): Promise<GpuJsBackend> {
  const open = await openGpu(GPU as GpuClass | undefined);
  const memory = new GpuJsMemory();
  const engine = new Engine(open, memory);
  const { kernels, native, host, declined } = kernelsOf(engine);
  return {
    name: "gpujs",
    info: {
      mode: open.mode,
      adapter: open.adapter,
      maxTextureSize: open.maxTextureSize,
      native: native.join(" "),
      host: host.join(" "),
      /** Native ops of which calls ran on the host, so far, each with the last reason. */
      get declined() {
        return [...declined].map(([op, reason]) => `${op} (${reason})`).join(", ");
      },
    },
    features: {
      accuracy: "wgsl",
      maxBufferBytes: MAX_BUFFER_BYTES,
      schemes: Object.fromEntries(Object.keys(schemes).map((name) => [name, "plain"])),
    },
    memory,
    kernels,
    counters: () => ({ ...engine.counters, programs: engine.programs, textures: memory.textures }),
    flush() {
      memory.expectOpen("flush");
    },
    async idle() {
      memory.expectOpen("idle");
      await engine.idle();
    },
    async [Symbol.asyncDispose]() {
      if (memory.closed) return;
      memory.close();
      await open.gpu.destroy();
    },
  };
}
