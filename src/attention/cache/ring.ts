// A cache of a window: a token that no later one may see gives its slot back, so that texts roll on without end in memory that does not grow.
// Sinks and global tokens stay.
import type { Backend } from "../../backends/backend.js";
import { ConfigError } from "../../core/errors.js";
import { SlotCache, type CacheOptions } from "./slot-cache.js";

export interface RingCacheOptions extends CacheOptions {
  /** How many tokens a query sees, its own included: at least the widest window of the layers, each of which must have one. */
  readonly window: number;
  /** The first positions of the text, which stay visible: at least the `sinks` of the layers. 0 unless given. */
  readonly sinks?: number;
}

/**
 * Equal to a dense cache under layers of the window, with two exceptions. A global token looks back as far as any other one, because what lies
 * behind is gone; later tokens see it whatever the distance. And a text goes forward: positions ascend within a segment, and a segment that
 * it has left does not come back. A row can give back what came with its last `begin`, and no token that is older, unless nothing was given
 * up yet or all is dropped. After Xiao et al. 2023 (StreamingLLM), without their renumbering of positions.
 */
export class RingCache extends SlotCache {
  /**
   * @param options `capacity` is 256 or what the window needs, whichever is less, unless given
   * @throws ConfigError if window or a size is no positive integer, sinks are negative, or a scheme does not store each token by itself; BackendError if the
   *   backend does not encode it
   */
  constructor(backend: Backend, options: RingCacheOptions) {
    const { window, sinks = 0 } = options;
    if (!(window >= 1))
      throw new ConfigError(
        `RingCache: window must be a positive integer, got ${window}; a DenseCache keeps all tokens`,
      );
    const { maxLength, capacity = Math.min(256, maxLength, window + sinks) } = options;
    const sight = { window, sinks, forgets: true };
    super("RingCache", backend, { ...options, capacity }, sight, 1);
  }
}
