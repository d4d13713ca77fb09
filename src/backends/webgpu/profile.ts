// Times single dispatches by the device's own clock: while it runs, each has a compute pass of its own with a timestamp at both ends.
import type { Dispatch } from "./dispatch.js";
import type { ProfiledDispatch } from "./profiled-dispatch.js";
import type { Queue } from "./queue.js";
import { GPU_COPY_DST, GPU_COPY_SRC, GPU_MAP_READ, GPU_QUERY_RESOLVE } from "./queue.js";

export async function profile(
  queue: Queue,
  timed: boolean,
  fn: () => void | Promise<void>,
): Promise<readonly ProfiledDispatch[]> {
  const { device } = queue;
  const batches: { readonly dispatches: readonly Dispatch[]; readonly staging?: GPUBuffer }[] = [];
  const spent: { destroy(): void }[] = [];
  queue.flush();
  queue.watch = (encoder, dispatches) => {
    if (!timed) {
      batches.push({ dispatches });
      return undefined;
    }
    const count = 2 * dispatches.length;
    const querySet = device.createQuerySet({ type: "timestamp", count });
    const resolved = device.createBuffer({ size: 8 * count, usage: GPU_QUERY_RESOLVE | GPU_COPY_SRC });
    const staging = device.createBuffer({ size: 8 * count, usage: GPU_MAP_READ | GPU_COPY_DST });
    batches.push({ dispatches, staging });
    spent.push(querySet, resolved, staging);
    return {
      stamps: (i) => ({ querySet, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 }),
      end() {
        encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
        encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
      },
    };
  };
  try {
    await fn();
    queue.flush();
    queue.watch = undefined;
    const found: ProfiledDispatch[] = [];
    for (const { dispatches, staging } of batches) {
      const times = staging && (await timesIn(staging));
      dispatches.forEach(({ op, shader }, i) =>
        found.push({ op, shader, ...(times && { nanoseconds: Number(times[2 * i + 1] - times[2 * i]) }) }),
      );
    }
    return found;
  } finally {
    queue.watch = undefined;
    for (const each of spent) each.destroy();
  }
}

async function timesIn(staging: GPUBuffer): Promise<BigUint64Array> {
  await staging.mapAsync(1);
  return new BigUint64Array(staging.getMappedRange().slice(0));
}
