// Keys and values of new tokens, written into the pools of a cache.
import { ConfigError } from "../core/errors.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef, Spec } from "../tensor/op.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectEncoded, expectMatrix, expectDType, expectRank, expectShape } from "./expect.js";
import { quantize } from "./quantize.js";
import { reshape } from "./reshape.js";
import { scatterRows } from "./scatter-rows.js";

type Pool = Tensor | PackedTensor;

/** The pools are the caller's: their form is checked, not inferred. */
const def = (kPool: Pool, vPool: Pool): OpDef<"appendKV"> => ({
  name: "appendKV",
  infer([k, v, slots]) {
    expectDType("appendKV", "k", k);
    expectDType("appendKV", "v", v);
    expectDType("appendKV", "slots", slots, "i32");
    expectRank("appendKV", "k", k, 4, "[B, T, Hkv, d]");
    expectShape("appendKV", "v", v, k.shape, "that of k", k);
    expectShape("appendKV", "slots", slots, k.shape.slice(0, 2), "one slot per token of k", k);
    return [poolSpec("kPool", kPool, k), poolSpec("vPool", vPool, k)];
  },
  write([k, v, slots], [kPool, vPool]) {
    store(k, slots, kPool);
    store(v, slots, vPool);
  },
});

function poolSpec(what: string, pool: Pool, x: Tensor): Spec {
  expectMatrix("appendKV", what, pool);
  expectRank("appendKV", what, pool, 3, "[N, Hkv, d]");
  expectShape("appendKV", what, pool, [pool.shape[0], ...x.shape.slice(2)], "the heads of k", x);
  if (!(pool instanceof PackedTensor)) return { shape: pool.shape };
  expectEncoded("appendKV", pool.backend, pool.scheme.name);
  if (pool.layout !== "plain" || pool.scheme.parts.some(({ per }) => per === "tile" || per === "tensor")) {
    throw new ConfigError(
      `appendKV: ${what} must store each token by itself, in the plain layout and with no part per tile or tensor, got ${pool.toString()} in layout ${pool.layout}`,
    );
  }
  return { shape: pool.shape, scheme: pool.scheme };
}

function store(x: Tensor, slots: Tensor, pool: Pool): void {
  if (!(pool instanceof PackedTensor)) return scatterRows(x, slots, pool, "set");
  const N = pool.shape[0];
  if (N === 0) return;
  const encoded = quantize(x, pool.scheme);
  // A slot holds Hkv rows of each part.
  pool.parts.forEach((part, i) => {
    const words = part.size / N;
    scatterRows(reshape(encoded.parts[i], [...slots.shape, words]), slots, reshape(part, [N, words]), "set");
  });
}

/**
 * kPool[slots[b, t]] = k[b, t] and vPool[slots[b, t]] = v[b, t], encoded where a pool is packed. A slot of -1 or out of range is skipped.
 * @param k f32 [B, T, Hkv, d] @param v f32 [B, T, Hkv, d] @param slots i32 [B, T]
 * @param kPool f32 or packed [N, Hkv, d], changed @param vPool f32 or packed [N, Hkv, d], changed; the schemes may differ
 * @throws ShapeError, DTypeError, AliasError, ConfigError; BackendError if the backend does not encode a pool's scheme
 */
export function appendKV(k: Tensor, v: Tensor, slots: Tensor, kPool: Pool, vPool: Pool): void {
  dispatch(def(kPool, vPool), [k, v, slots], {}, { targets: [kPool, vPool] });
}
