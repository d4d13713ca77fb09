// Whether a step is being recorded, and into what. Apart from the rest, because the lowest layer (memory) must know it.
import type { Command } from "../backends/backend.js";

/** Memory that can be held on to. */
export interface Held {
  hold(): void;
  release(): void;
}

export interface Recorder {
  command(command: Command): void;
  pin(memory: Held): void;
}

export const recording: { into: Recorder | undefined } = { into: undefined };
