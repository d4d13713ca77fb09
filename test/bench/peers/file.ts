// What a peer's process is given to run a GGUF file.
import type { Phase } from "../phases.js";

export interface FileTask {
  readonly phase: Phase;
  readonly file: string;
  /** Where the peer is installed. */
  readonly folder: string;
  readonly threads: number;
  /** In the prompt, and in the cache while decoding. */
  readonly tokens: number;
  /** Made by a decoding run. */
  readonly decoded: number;
  readonly vocabSize: number;
}
