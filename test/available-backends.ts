// The backends that run here: what holds on any of them is tested on all of these. Another one is one line.
import type { Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

export interface AvailableBackend {
  readonly name: string;
  open(): Promise<Backend>;
}

export const availableBackends: readonly AvailableBackend[] = [{ name: "cpu", open: () => cpu() }];
