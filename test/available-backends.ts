// The backends that run here: what holds on any of them is tested on all of these. Another one is one line.
import type { Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { wasm } from "qwen-blocks/wasm";
import { inject } from "vitest";
import { openInNode } from "./gpu/dawn.js";

export interface AvailableBackend {
  readonly name: string;
  open(): Promise<Backend>;
}

/** Dawn has a process of its own. */
const alone = inject("mode") === "gpu";

export const availableBackends: readonly AvailableBackend[] = alone
  ? [{ name: "webgpu", open: () => openInNode() }]
  : [
      { name: "cpu", open: () => cpu() },
      { name: "wasm, plain SIMD, one thread", open: () => wasm({ build: "simd128", threads: 1 }) },
      { name: "wasm, best build, two threads", open: () => wasm({ threads: 2 }) },
    ];

/** How many inputs to draw where all cores could draw so many: fewer where one emulated GPU computes. */
export const runs = (many: number): number => (alone ? Math.ceil(many / 5) : many);
