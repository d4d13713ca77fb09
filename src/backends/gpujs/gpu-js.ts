// What this backend uses of the package gpu.js, an optional peer that may be absent where types are checked.

/** Numbers on the GPU. The GPU keeps them until they are deleted. */
export interface Texture {
  delete(): void;
}

export type Argument = Texture | Float32Array | number;

/** What a call gives: a texture if it is to stay on the GPU, else one row where the output has one axis, rows by z and y where it has three. */
export type Result = Texture | Float32Array | readonly (readonly Float32Array[])[];

export interface Compiled {
  (...args: readonly Argument[]): Result;
  setOutput(output: readonly number[]): unknown;
  /** What really runs: gpu.js replaces it by JavaScript without a word where something fails. */
  readonly kernel: { readonly constructor: { readonly mode: string }; readonly fallbackReason?: string | null };
}

export interface KernelSettings {
  readonly output: readonly number[];
  readonly argumentTypes: readonly string[];
  readonly dynamicOutput: boolean;
  readonly dynamicArguments: boolean;
  readonly strictIntegers: boolean;
  readonly precision: "single";
  readonly tactic: "precision";
  readonly fixIntegerDivisionAccuracy: boolean;
  readonly loopMaxIterations: number;
  readonly pipeline: boolean;
  readonly immutable: boolean;
}

export interface Gpu {
  createKernel(source: string, settings: KernelSettings): Compiled;
  destroy(): Promise<void>;
}

export interface GpuSettings {
  readonly mode: "webgl2" | "cpu";
  readonly canvas?: OffscreenCanvas | HTMLCanvasElement;
  readonly context?: WebGL2RenderingContext;
}

export type GpuClass = new (settings: GpuSettings) => Gpu;
