// A dispatch as it waits for the device.
import type { Fault } from "./fault.js";
import type { Chunk } from "./pool.js";

/** A compiled shader. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  /** Whether the device takes it. */
  readonly fault: Fault;
}

/** A storage as the queue sees it. */
export interface Used {
  readonly chunk: Chunk;
  faults: readonly Fault[];
}

/** One dispatch, ready to be encoded. */
export interface Dispatch {
  readonly op: string;
  readonly shader: string;
  readonly compiled: Pipeline;
  readonly reads: readonly Used[];
  readonly writes: readonly Used[];
  readonly windows: GPUBindGroup;
  /** Binds its parameters, unless they lie in the queue's own slots. */
  readonly params?: GPUBindGroup;
  /** Where they begin, in bytes. */
  readonly paramsAt: number;
  readonly grid: readonly [number, number, number];
}
