// What turns gradients into better parameters.
import type { Tensor } from "../tensor/tensor.js";

export interface Optimizer extends Disposable {
  /** Steps taken so far. */
  readonly steps: number;
  /** What a resumed run needs beside `steps`, under stable names; written in place by restoring. */
  readonly state: ReadonlyMap<string, Tensor>;
  /** Host side of a step: counts it and writes what changes from step to step. */
  advance(learningRate: number): void;
  /**
   * Device side of a step: changes every parameter in place. Nothing is read or written on the host, so it can be recorded.
   * @param grads one per parameter, under its name @param gradScale f32 []: multiplies all gradients, for clipping
   */
  apply(grads: ReadonlyMap<string, Tensor>, gradScale?: Tensor): void;
  /** Goes on where a saved run stood; `state` is restored apart. */
  resume(steps: number): void;
  dispose(): void;
}
