// The CPU backend: the specification of every op in plain loops, with f64 sums and one rounding to f32 per output element.
import { schemes } from "../../quant/schemes/schemes.js";
import type { Backend } from "../backend.js";
import { kernels } from "./kernels.js";
import { CpuMemory, MAX_BUFFER_BYTES } from "./memory.js";

/** Opens a CPU backend with memory of its own. */
export async function cpu(): Promise<Backend> {
  const memory = new CpuMemory();
  return {
    name: "cpu",
    info: { threads: 1, build: "plain JavaScript, sums in f64" },
    features: {
      accuracy: "ieee",
      maxBufferBytes: MAX_BUFFER_BYTES,
      schemes: Object.fromEntries(Object.keys(schemes).map((name) => [name, "plain"])),
    },
    memory,
    kernels,
    flush() {
      memory.expectOpen("flush");
    },
    async idle() {
      memory.expectOpen("idle");
    },
    async [Symbol.asyncDispose]() {
      memory.close();
    },
  };
}
