// THE CONTRACT. A backend is memory plus kernels of one shape, `(inputs, outputs, attrs) => void`. The 16 primitives are required;
// every fused op has a composite in ops/ and may be left out or decline. docs/ops.md tells what each op means.
import type { Attr, Matrix, Op, Operand, PackedView, SchemeName, Storage, View } from "../core/view.js";

export type UnaryOp = "neg" | "abs" | "exp" | "log" | "sin" | "cos" | "sqrt" | "rsqrt" | "sigmoid" | "tanh" | "round";
/** The last five work on integers only; `equal` and `less` give u32 0 or 1. */
export type BinaryOp =
  "add" | "sub" | "mul" | "div" | "min" | "max" | "equal" | "less" | "and" | "or" | "xor" | "shiftLeft" | "shiftRight";
/** "q8": each row of the left operand is first rounded by the Q8_0 rule, on every backend alike. */
export type Activations = "f32" | "q8";
/** "half" turns components (i, i + r/2) together, "interleaved" (2i, 2i + 1). */
export type RopeLayout = "half" | "interleaved";
export type RouteScore = "softmax" | "sigmoid" | "uniform";
export type AttentionAttrs = { scale: number; causal: boolean; window: number; sinks: number; softcap: number };

/** Required of every backend. Dimension letters: docs/architecture.md. */
export interface PrimitiveOps {
  fill: Op<[], [y: View], { value: number; step: number }>;
  cast: Op<[x: View], [y: View]>;
  permute: Op<[x: View], [y: View], { axes: readonly number[] }>;
  slice: Op<[x: View], [y: View], { starts: readonly number[] }>;
  writeSlice: Op<[x: View], [into: View], { starts: readonly number[] }>;
  gatherRows: Op<[table: Matrix, rows: View], [y: View]>;
  scatterRows: Op<[x: View, rows: View], [into: View], { mode: "set" | "add" }>;
  unary: Op<[x: View], [y: View], { op: UnaryOp }>;
  binary: Op<[a: View, b: View], [y: View], { op: BinaryOp }>;
  select: Op<[condition: View, a: View, b: View], [y: View]>;
  reduce: Op<[x: View], [y: View], { op: "sum" | "max" | "min"; axes: readonly number[] }>;
  scan: Op<[x: View], [y: View], { axis: number; exclusive: boolean }>;
  topK: Op<[x: View], [values: View, indices: View], { k: number }>;
  matmul: Op<[a: View, b: View], [y: View], { transposeA: boolean; transposeB: boolean }>;
  quantize: Op<[x: View], [y: PackedView], { scheme: SchemeName }>;
  dequantize: Op<[x: PackedView], [y: View]>;
}

/** Optional: each exists for speed alone and has a composite. In gradients an output that nobody asked for is undefined. */
export interface FusedOps {
  linear: Op<[x: View, weight: Matrix, bias: View | undefined], [y: View], { activations: Activations }>;
  rmsNorm: Op<[x: View, weight: View], [y: View], { eps: number }>;
  addRmsNorm: Op<[x: View, residual: View, weight: View], [sum: View, y: View], { eps: number }>;
  softmax: Op<[x: View], [y: View]>;
  swiglu: Op<[gateUp: View], [y: View]>;
  rope: Op<[x: View, table: View, rows: View], [y: View], { layout: RopeLayout; inverse: boolean }>;
  qkNormRope: Op<
    [qkv: View, qWeight: View | undefined, kWeight: View | undefined, table: View, rows: View],
    [q: View, k: View, v: View],
    { numHeads: number; numKvHeads: number; eps: number; layout: RopeLayout }
  >;
  appendKV: Op<[k: View, v: View, slots: View], [kPool: Matrix, vPool: Matrix]>;
  attention: Op<[q: View, k: Matrix, v: Matrix, queries: View, keys: View], [y: View], AttentionAttrs>;
  route: Op<
    [logits: View, bias: View | undefined],
    [weights: View, experts: View],
    { k: number; score: RouteScore; normalize: boolean; scale: number }
  >;
  groupByExpert: Op<[experts: View], [counts: View, rank: View], { numExperts: number }>;
  expertLinear: Op<[x: View, weight: Matrix, experts: View], [y: View], { activations: Activations }>;
  combineExperts: Op<[x: View, weights: View], [y: View]>;
  expertMlp: Op<
    [x: View, gateUp: Matrix, down: Matrix, experts: View, weights: View],
    [y: View],
    { activations: Activations }
  >;
  crossEntropy: Op<[logits: View, targets: View], [loss: View]>;
  repack: Op<[x: PackedView], [y: PackedView], { layout: string }>;
  adamW: Op<
    [grad: View, hyper: View],
    [param: View, mean: View, variance: View],
    { beta1: number; beta2: number; eps: number; decay: number }
  >;
  linearGrad: Op<
    [x: View, weight: Matrix, dy: View],
    [dx: View | undefined, dWeight: View | undefined, dBias: View | undefined]
  >;
  rmsNormGrad: Op<
    [x: View, weight: View, dy: View],
    [dx: View | undefined, dWeight: View | undefined],
    { eps: number }
  >;
  swigluGrad: Op<[gateUp: View, dy: View], [dGateUp: View]>;
  attentionGrad: Op<
    [q: View, k: Matrix, v: Matrix, queries: View, keys: View, y: View, dy: View],
    [dq: View | undefined, dk: View | undefined, dv: View | undefined],
    AttentionAttrs
  >;
  expertLinearGrad: Op<
    [x: View, weight: Matrix, experts: View, dy: View],
    [dx: View | undefined, dWeight: View | undefined]
  >;
  crossEntropyGrad: Op<[logits: View, targets: View, dLoss: View], [dLogits: View]>;
}

export type OpTable = PrimitiveOps & FusedOps;
export type OpName = keyof OpTable;

/** What a fused kernel returns, before it wrote anything, when it does not cover this case; the composite then runs. */
export const DECLINED: unique symbol = Symbol("declined");

export type Kernel<K extends OpName, R> = (
  inputs: OpTable[K]["inputs"],
  outputs: OpTable[K]["outputs"],
  attrs: OpTable[K]["attrs"],
) => R;
export type Kernels = { readonly [K in keyof PrimitiveOps]: Kernel<K, void> } & {
  readonly [K in keyof FusedOps]?: Kernel<K, void | typeof DECLINED>;
};

/** Raw memory. `usage()` counts live buffers and their bytes; `scratch` is the arena that kernels use within a call. */
export interface Memory {
  /** @throws OutOfMemoryError where the limit can be seen. The bytes are not defined until written. */
  alloc(byteLength: number): Storage;
  free(storage: Storage): void;
  /** `offset` in bytes. */
  write(storage: Storage, offset: number, bytes: Uint8Array): void;
  read(storage: Storage, offset: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
  usage(): { readonly buffers: number; readonly bytes: number; readonly scratch: number };
}

/** One kernel call, as recordings, traces and `compile` see it. */
export interface Command {
  readonly op: OpName;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: Readonly<Record<string, Attr>>;
}

/** Compiled commands; `run` enqueues them again. */
export interface Replay extends Disposable {
  run(): void;
}

export interface Features {
  /** The error table that its arithmetic obeys: correctly rounded, or WGSL's. */
  readonly accuracy: "ieee" | "wgsl";
  readonly maxBufferBytes: number;
  /** Schemes that the kernels know, each with the layout they like best; q8_0 always. */
  readonly schemes: Readonly<Record<SchemeName, string>>;
  /** Those of them that `quantize` and `appendKV` encode; all of them unless given. q8_0 always. */
  readonly encodes?: readonly SchemeName[];
}

export interface Backend extends AsyncDisposable {
  readonly name: string;
  /** For people: threads, build, adapter, and why not more. */
  readonly info: Readonly<Record<string, string | number>>;
  readonly features: Features;
  readonly memory: Memory;
  readonly kernels: Kernels;
  /** Without it, or where it gives nothing, a replay calls the kernels again. */
  compile?(commands: readonly Command[]): Replay | undefined;
  /** Hands queued work to the device; nothing to do where kernels run at once. */
  flush(): void;
  /** All queued work is done. For timing, never for correctness. */
  idle(): Promise<void>;
}
