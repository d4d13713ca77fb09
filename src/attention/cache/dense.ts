// The plain cache: every token keeps a slot of its own until it is dropped. Memory doubles as texts grow.
import type { Backend } from "../../backends/backend.js";
import { SlotCache, type CacheOptions } from "./slot-cache.js";

export interface DenseCacheOptions extends CacheOptions {
  /**
   * How many tokens a query sees, its own included: at least the widest window of the layers, or 0, the default, where one of them sees all.
   * All tokens are held, but the tables list only what can be seen, so that a step costs the window.
   */
  readonly window?: number;
  /** The first positions of the text, which stay visible: at least the `sinks` of the layers. 0 unless given. */
  readonly sinks?: number;
}

export class DenseCache extends SlotCache {
  /**
   * @throws ConfigError if a size is no positive integer, window or sinks are negative, or a scheme does not store each token by itself; BackendError if the
   *   backend does not encode it
   */
  constructor(backend: Backend, options: DenseCacheOptions) {
    const { window = 0, sinks = 0 } = options;
    super("DenseCache", backend, options, { window, sinks, forgets: false }, 1);
  }
}
