// The caches that a model makes by name: sized by its config, with the window that its layers have.
import { DenseCache } from "../attention/cache/dense.js";
import { PagedCache, type PagedCacheOptions } from "../attention/cache/paged.js";
import { RingCache } from "../attention/cache/ring.js";
import type { Backend } from "../backends/backend.js";
import { ConfigError } from "../core/errors.js";
import { windowOf, type Qwen3Config } from "./qwen3-config.js";

export interface CacheKinds {
  readonly dense: DenseCache;
  readonly paged: PagedCache;
  readonly ring: RingCache;
}
export type CacheKind = keyof CacheKinds;

type Sizes = Pick<
  PagedCacheOptions,
  "batch" | "maxLength" | "capacity" | "keyScheme" | "valueScheme" | "sinks" | "pageSize"
>;
export interface MakeCacheOptions<K extends CacheKind = CacheKind> extends Partial<Sizes> {
  /** "dense" unless given. */
  readonly kind?: K;
}

const kinds = { dense: DenseCache, paged: PagedCache, ring: RingCache };

/** @throws ConfigError for a ring where a layer sees everything, and as the caches do */
export function cacheFor<K extends CacheKind>(
  backend: Backend,
  config: Qwen3Config,
  { kind = "dense" as K, maxLength = config.maxPositionEmbeddings, ...sizes }: MakeCacheOptions<K>,
): CacheKinds[K] {
  if (!Object.hasOwn(kinds, kind))
    throw new ConfigError(`makeCache: kind must be one of ${Object.keys(kinds).join(", ")}, got ${String(kind)}`);
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  const windows = Array.from({ length: numHiddenLayers }, (_, layer) => windowOf(config, layer));
  const wide = windows.indexOf(0);
  if (kind === "ring" && wide >= 0)
    throw new ConfigError(
      `makeCache: every layer must have a window for a ring, got none in layer ${wide}; set slidingWindow, or take another kind`,
    );
  const window = wide >= 0 ? 0 : Math.max(...windows);
  const options = { ...sizes, numHiddenLayers, numKeyValueHeads, headDim, maxLength, window };
  return new kinds[kind](backend, options) as CacheKinds[K];
}
