// One storage and the number of handles that hold it; the last one to let go frees it. Aliases (reshape, leading slice, bitcast) share one.
import type { Memory } from "../backends/backend.js";
import type { Storage } from "../core/view.js";
import { recording } from "./recording-state.js";

export class Allocation {
  readonly memory: Memory;
  readonly storage: Storage;
  /** How often a writer changed this memory: a tape compares it with what it saw. */
  writes = 0;
  /** The op that wrote last, for messages. */
  lastWriter = "";
  #holders = 1;

  constructor(memory: Memory, byteLength: number) {
    this.memory = memory;
    this.storage = memory.alloc(byteLength);
    recording.into?.pin(this);
  }

  hold(): void {
    this.#holders++;
  }

  release(): void {
    if (--this.#holders === 0) this.memory.free(this.storage);
  }

  wrote(writer: string): void {
    this.writes++;
    this.lastWriter = writer;
  }
}
