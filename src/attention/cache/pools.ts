// The memory of a cache: keys and values of all layers by slot, plain or packed. A token is encoded once, when it arrives; larger pools take over
// the words as they are.
import type { Backend } from "../../backends/backend.js";
import type { DType } from "../../core/dtype.js";
import { CheckpointError, ConfigError } from "../../core/errors.js";
import type { Shape } from "../../core/shape.js";
import type { SchemeName } from "../../core/view.js";
import { bitcast } from "../../ops/cast.js";
import { zeros } from "../../ops/fill.js";
import { expectEncoded } from "../../ops/expect.js";
import { gatherRows } from "../../ops/gather-rows.js";
import { reshape } from "../../ops/reshape.js";
import { writeSlice } from "../../ops/write-slice.js";
import { bf16, f16 } from "../../quant/schemes/float.js";
import { q4_0 } from "../../quant/schemes/q4.js";
import { q8_0 } from "../../quant/schemes/q8.js";
import { partSpecs, type Scheme } from "../../quant/schemes/scheme.js";
import { schemeAmong } from "../../quant/schemes/scheme-among.js";
import { tensor } from "../../tensor/create.js";
import { PackedTensor } from "../../tensor/packed-tensor.js";
import { keep, scope } from "../../tensor/scope.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Pool } from "./kv-cache.js";
import { expectSaved, savedTextNames } from "./saved-texts.js";

export interface PoolOptions {
  readonly numHiddenLayers: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** How keys are stored: f16, bf16, q8_0 or q4_0 by name, or any scheme that the backend lists. f32 unless given. */
  readonly keyScheme?: SchemeName | Scheme;
  /** The same of values. */
  readonly valueScheme?: SchemeName | Scheme;
}

/** What a matrix [slots, words] of a pool begins with; its name is the one under which it is saved. */
type Source = (name: string, words: number, dtype: DType) => Tensor | undefined;

export class Pools {
  readonly #backend: Backend;
  readonly #options: PoolOptions;
  readonly #schemes: Readonly<Record<keyof Pool, Scheme | undefined>>;
  #layers: readonly Pool[] = [];

  /** @throws ConfigError for a scheme that does not store each token by itself, BackendError for one that the backend does not encode */
  constructor(backend: Backend, options: PoolOptions) {
    this.#backend = backend;
    this.#options = options;
    this.#schemes = {
      k: schemeOf("keyScheme", options.keyScheme, backend),
      v: schemeOf("valueScheme", options.valueScheme, backend),
    };
  }

  /** None before the first growth. */
  get layers(): readonly Pool[] {
    return this.#layers;
  }

  /** Larger pools with the same content. */
  growTo(slots: number): void {
    scope(() => {
      const before = new Map(this.#matrices(this.#layers));
      this.#adopt(this.#made(slots, (name) => before.get(name)));
    });
  }

  /** The rows of these slots, [slots, words] f32 and i32. */
  gather(slots: Int32Array): Record<string, Tensor> {
    if (slots.length === 0) return {};
    return scope(() => {
      const rows = tensor(this.#backend, slots);
      const saved = this.#matrices(this.#layers).map(([name, matrix]) => {
        const found = gatherRows(matrix, rows);
        return [name, matrix.dtype === "f32" ? found : bitcast(found, "i32")];
      });
      return Object.fromEntries(saved) as Record<string, Tensor>;
    });
  }

  /** New pools, of which the first `count` slots hold what was gathered. @throws CheckpointError */
  load(saved: Readonly<Record<string, Tensor>>, count: number, slots: number): void {
    scope(() => {
      const taken = new Set<string>(savedTextNames);
      const made = this.#made(slots, (name, words, dtype) => {
        taken.add(name);
        if (count === 0) return undefined;
        return bitcast(expectSaved(saved, name, dtype === "f32" ? "f32" : "i32", [count, words]), dtype);
      });
      const odd = Object.keys(saved).find((name) => !taken.has(name));
      if (odd !== undefined)
        throw new CheckpointError(
          `cache: saved tensors must be those of such a cache, got ${odd}; load into a cache with the options of the saved one`,
        );
      this.#adopt(made);
    });
  }

  dispose(): void {
    for (const { k, v } of this.#layers) {
      k.dispose();
      v.dispose();
    }
    this.#layers = [];
  }

  /** New pools. Inside a scope. */
  #made(slots: number, source: Source): readonly Pool[] {
    const { numHiddenLayers, numKeyValueHeads, headDim } = this.#options;
    const shape = [slots, numKeyValueHeads, headDim];
    const made = Array.from({ length: numHiddenLayers }, () => ({
      k: emptyPool(this.#backend, shape, this.#schemes.k),
      v: emptyPool(this.#backend, shape, this.#schemes.v),
    }));
    for (const [name, matrix] of this.#matrices(made)) {
      const content = source(name, matrix.shape[1], matrix.dtype);
      if (content) writeSlice(content, matrix, [0, 0]);
    }
    return made;
  }

  /** All are made before any is replaced, so running out of memory loses nothing. */
  #adopt(made: readonly Pool[]): void {
    for (const { k, v } of made) {
      keep(k);
      keep(v);
    }
    this.dispose();
    this.#layers = made;
  }

  /** The pools as matrices f32 or u32 with a row for each slot, by name. Inside a scope. */
  #matrices(layers: readonly Pool[]): [name: string, matrix: Tensor][] {
    return layers.flatMap((pool, layer) =>
      (["k", "v"] as const).flatMap((side) => {
        const stored = pool[side];
        const [slots] = stored.shape;
        const name = `layers.${layer}.${side}`;
        if (!(stored instanceof PackedTensor))
          return [[name, reshape(stored, [slots, stored.size / slots])] as [string, Tensor]];
        return stored.parts.map((part, i): [string, Tensor] => [
          `${name}.${stored.scheme.name}.${i}`,
          reshape(part, [slots, part.size / slots]),
        ]);
      }),
    );
  }
}

function emptyPool(backend: Backend, shape: Shape, scheme: Scheme | undefined): Tensor | PackedTensor {
  if (scheme === undefined) return zeros(backend, shape);
  const parts = partSpecs(scheme, shape).map((part) => zeros(backend, part.shape, part.dtype));
  return new PackedTensor(scheme, shape, "plain", parts);
}

/** Those that serve tokens well go by name; every other one is passed itself, so that the library need not be carried for its sake. */
const named = { f16, bf16, q8_0, q4_0 };

function schemeOf(option: string, given: SchemeName | Scheme | undefined, backend: Backend): Scheme | undefined {
  if (given === undefined) return undefined;
  const scheme = typeof given === "string" ? schemeAmong(named, `cache: ${option}`, given) : given;
  expectEncoded(`cache: ${option}`, backend, scheme.name);
  if (scheme.parts.some(({ per }) => per === "tile" || per === "tensor"))
    throw new ConfigError(
      `cache: ${option} must store each token by itself, with no part per tile or tensor, got ${scheme.name}`,
    );
  return scheme;
}
