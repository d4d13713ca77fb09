// The oracle: a backend of the 16 primitives and joint kernels of norms, softmax and attention. It computes in f64 and carries beside each
// number the most by which f32 arithmetic may miss it. Whatever is composed of these yields value and bound together.
import type { Backend, Kernels } from "../../backends/backend.js";
import { sizeOf } from "../../core/shape.js";
import { schemes } from "../../quant/schemes/schemes.js";
import type { Tensor } from "../../tensor/tensor.js";
import { contents, store, type Numbers } from "./cells.js";
import { attention, attentionGrad } from "./joint/attention.js";
import { rmsNorm, rmsNormGrad } from "./joint/norm.js";
import { softmax } from "./joint/softmax.js";
import { kinds, OracleMemory, oracleStorage } from "./memory.js";
import { binary } from "./primitives/binary.js";
import { cast, fill } from "./primitives/fill-and-cast.js";
import { permute, slice, writeSlice } from "./primitives/move.js";
import { dequantize, quantize } from "./primitives/packed.js";
import { gatherRows, scatterRows } from "./primitives/rows.js";
import { select } from "./primitives/select.js";
import { matmul, reduce, scan } from "./primitives/sums.js";
import { topK } from "./primitives/top-k.js";
import { unary } from "./primitives/unary.js";
import { profileNamed } from "./profile.js";

/** What the oracle knows of a tensor. */
export interface Estimate extends Numbers {
  /**
   * How far each element of a backend may lie from `value`. 0: it must be equal. Infinity: nothing can be promised, because f32 may overflow
   * or a decision on the way (which of two is larger, where a number rounds to) lies within its bound.
   */
  readonly bound: Float64Array;
  /** The elements as 32-bit words, f32 numbers rounded. */
  readonly words: Uint32Array<ArrayBuffer>;
  /** 1 where an element was only moved since the host wrote it, so that its bits are known. */
  readonly moved: Uint8Array;
}

export interface Oracle extends Backend {
  /** Value and bound of each element. Of an integer the bound says by how much it may be off. */
  inspect(x: Tensor): Promise<Estimate>;
  /** Overwrites an f32 tensor with numbers in f64, exact unless bounds are given: finite differences need steps that f32 cannot take. */
  assign(x: Tensor, value: Float64Array, bound?: Float64Array): void;
}

/**
 * Makes an oracle of its own memory.
 * @param accuracy "ieee" (correctly rounded arithmetic, functions good to 4 ulp) or "wgsl" (the table of WGSL's specification): what
 * `features.accuracy` of the backend under test says
 */
export function oracle(accuracy: "ieee" | "wgsl"): Oracle {
  const profile = profileNamed(accuracy);
  const memory = new OracleMemory();
  const kernels: Kernels = {
    fill: fill(profile),
    cast: cast(profile),
    permute,
    slice,
    writeSlice,
    gatherRows: gatherRows(profile),
    scatterRows: scatterRows(profile),
    unary: unary(profile),
    binary: binary(profile),
    select,
    reduce: reduce(profile),
    scan: scan(profile),
    topK: topK(profile),
    matmul: matmul(profile),
    quantize: quantize(profile),
    dequantize: dequantize(profile),
    rmsNorm: rmsNorm(profile),
    rmsNormGrad: rmsNormGrad(profile),
    softmax: softmax(profile),
    attention: attention(profile),
    attentionGrad: attentionGrad(profile),
  };
  return {
    name: `oracle (${accuracy})`,
    info: { arithmetic: "f64 with running error bounds" },
    features: {
      accuracy,
      maxBufferBytes: 2 ** 31,
      schemes: Object.fromEntries(Object.keys(schemes).map((name) => [name, "plain"])),
    },
    memory,
    kernels,
    flush(): void {},
    async idle(): Promise<void> {},
    async [Symbol.asyncDispose](): Promise<void> {
      memory.close();
    },
    async inspect({ view }: Tensor): Promise<Estimate> {
      const { words, kind, bound } = oracleStorage(view.storage);
      const [from, to] = [view.offset, view.offset + sizeOf(view.shape)];
      return {
        ...contents(view),
        words: words.slice(from, to),
        moved: Uint8Array.from(kind.subarray(from, to), (one, i) =>
          Number(one === kinds.word && bound[from + i] === 0),
        ),
      };
    },
    assign({ view }: Tensor, value: Float64Array, bound: Float64Array = new Float64Array(value.length)): void {
      store(view, { value, bound });
    },
  };
}
