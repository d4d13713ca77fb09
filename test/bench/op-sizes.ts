// How large the operands of `--ops` are: like those of a model on a GPU, or just so that everything runs on a software adapter.
/** Sizes of a model's parts. */
export interface OpSizes {
  /** Of a plain elementwise copy. */
  readonly elements: number;
  /** Of a matrix times one row. */
  readonly matvec: { readonly rows: number; readonly k: number };
  /** Rows of the tiled product; its matrix is square. */
  readonly product: { readonly rows: number; readonly width: number };
  /** Rows of ops by row, and of experts in prefill. */
  readonly rows: number;
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Tokens of attention in prefill, and keys of attention in decoding. */
  readonly tokens: number;
  readonly held: number;
  readonly experts: number;
  readonly chosen: number;
  readonly moeIntermediate: number;
  readonly vocabulary: number;
  /** Bytes of different operands behind each other, so that none is found in a cache. */
  readonly spread: number;
}

export const sizes = {
  /** For a GPU: layers of Qwen3-15B-A2B, and caches of up to 256 MiB. */
  large: {
    elements: 2 ** 25,
    matvec: { rows: 16_384, k: 4096 },
    product: { rows: 512, width: 4096 },
    rows: 512,
    hidden: 2048,
    heads: 32,
    kvHeads: 4,
    headDim: 128,
    tokens: 1024,
    held: 4096,
    experts: 128,
    chosen: 8,
    moeIntermediate: 768,
    vocabulary: 151_936,
    spread: 2 ** 29,
  },
  /** For a software adapter: to see that all runs. */
  small: {
    elements: 2 ** 18,
    matvec: { rows: 512, k: 512 },
    product: { rows: 64, width: 128 },
    rows: 16,
    hidden: 128,
    heads: 4,
    kvHeads: 2,
    headDim: 32,
    tokens: 32,
    held: 128,
    experts: 8,
    chosen: 2,
    moeIntermediate: 64,
    vocabulary: 2048,
    spread: 2 ** 20,
  },
} as const satisfies Record<string, OpSizes>;
export type SizeName = keyof typeof sizes;
