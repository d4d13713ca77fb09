// What the machine can do through a backend's own ops, measured on the spot: the scale for everything that a profile shows.
import { fill, linear, type Backend } from "qwen-blocks";

export interface Limits {
  /** Bytes per second of one row times a matrix that no cache holds. */
  readonly bandwidth: number;
  /** Flops per second of a large product. */
  readonly compute: number;
}

/** 256 MiB of weights. */
const streamed = { rows: 1, columns: 16_384, k: 4096 };
export const streamedBytes: number = 4 * streamed.columns * streamed.k;
const square = { rows: 1024, columns: 1024, k: 1024 };
const enoughMilliseconds = 1000;
const fewest = 3;

export async function measureLimits(backend: Backend): Promise<Limits> {
  return { bandwidth: await measureBandwidth(backend), compute: await measureCompute(backend) };
}

export async function measureBandwidth(backend: Backend): Promise<number> {
  return (1000 * streamedBytes) / (await fastest(backend, streamed));
}

async function measureCompute(backend: Backend): Promise<number> {
  return (2000 * square.rows * square.columns * square.k) / (await fastest(backend, square));
}

/** Milliseconds of the fastest product of this size: a limit is what was reached once. */
async function fastest(backend: Backend, size: typeof square): Promise<number> {
  using product = prepareProduct(backend, size);
  let best = Infinity;
  const begin = performance.now();
  for (let i = 0; i < fewest || performance.now() - begin < enoughMilliseconds; i++) {
    const start = performance.now();
    await product.run();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

/** The work behind the bandwidth, to take turns with. */
export function prepareStreaming(backend: Backend): Disposable & { run(): Promise<void> } {
  return prepareProduct(backend, streamed);
}

function prepareProduct(backend: Backend, { rows, columns, k }: typeof square): Disposable & { run(): Promise<void> } {
  const x = fill(backend, [rows, k], 0.5);
  const weight = fill(backend, [columns, k], 0.25);
  return {
    async run() {
      using _ = linear(x, weight);
      await backend.idle();
    },
    [Symbol.dispose]() {
      x.dispose();
      weight.dispose();
    },
  };
}
