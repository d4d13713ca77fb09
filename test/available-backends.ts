// The backends that run here: what holds on any of them is tested on all of these. Another one is one line.
import type { Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { wasm } from "qwen-blocks/wasm";

export interface AvailableBackend {
  readonly name: string;
  open(): Promise<Backend>;
}

export const availableBackends: readonly AvailableBackend[] = [
  { name: "cpu", open: () => cpu() },
  { name: "wasm, plain SIMD, one thread", open: () => wasm({ build: "simd128", threads: 1 }) },
  { name: "wasm, best build, two threads", open: () => wasm({ threads: 2 }) },
];
