// A backend of the same kernels whose memory notes how much was in use at most.
import type { Backend, Memory } from "qwen-blocks";

export interface Metered {
  readonly backend: Backend;
  /** Bytes in use. */
  held: number;
  /** The most there were since it was last set. */
  peak: number;
}

export function metered(backend: Backend): Metered {
  const { memory: inner } = backend;
  const memory: Memory = {
    alloc(bytes) {
      meter.held += bytes;
      meter.peak = Math.max(meter.peak, meter.held);
      return inner.alloc(bytes);
    },
    free(storage) {
      meter.held -= storage.byteLength;
      inner.free(storage);
    },
    write: (...call) => inner.write(...call),
    read: (...call) => inner.read(...call),
    usage: () => inner.usage(),
  };
  const meter: Metered = { backend: { ...backend, memory }, held: 0, peak: 0 };
  return meter;
}
