// What profiling tells of a dispatch. A file without the types of WebGPU, which those who import this package may not have.

export interface ProfiledDispatch {
  readonly op: string;
  readonly shader: string;
  /** On the device; left out where it has no timestamps. */
  readonly nanoseconds?: number;
}
