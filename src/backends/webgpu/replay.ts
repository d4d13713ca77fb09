// Recorded commands as dispatches that are ready: pipelines, bind groups and parameters are kept, and a run only notes them down again.
import { BackendError } from "../../core/errors.js";
import { DECLINED, type Command, type Replay } from "../backend.js";
import type { Dispatch } from "./dispatch.js";
import type { Engine } from "./engine.js";
import { kernelsOf } from "./kernels.js";
import type { GpuStorage } from "./memory.js";
import { sizeClass } from "./pool.js";
import { GPU_COPY_DST, GPU_UNIFORM, SLOT, type Queue } from "./queue.js";

type AnyKernel = (inputs: unknown, outputs: unknown, attrs: unknown) => void | typeof DECLINED;

/**
 * Kernels encode by the shapes and places of their operands, never by what these hold, so what they dispatch now is what they dispatch each
 * time. The parameters have a buffer of their own, and so has scratch memory.
 * @throws BackendError if a command has no kernel here
 */
export function compileDispatches(engine: Engine, queue: Queue, commands: readonly Command[]): Replay {
  const encoded: Dispatch[] = [];
  const slots: Uint8Array<ArrayBuffer>[] = [];
  const scratch = new Scratch(engine);
  const kernels = kernelsOf(
    engine.into({
      slot() {
        const slot = new Uint8Array(SLOT);
        slots.push(slot);
        return { at: (slots.length - 1) * SLOT, view: new DataView(slot.buffer) };
      },
      push: (dispatch) => encoded.push(dispatch),
      take: (byteLength) => scratch.take(byteLength),
      put: (storage) => scratch.put(storage),
    }),
  ).kernels as unknown as Readonly<Record<string, AnyKernel | undefined>>;
  for (const { op, inputs, outputs, attrs } of commands) {
    const kernel = kernels[op];
    if (kernel !== undefined && kernel(inputs, outputs, attrs) !== DECLINED) continue;
    scratch.free();
    throw new BackendError(
      `compile: each command must be one that a kernel here ran, got ${op}; record it on this backend`,
    );
  }
  const { device } = queue;
  const buffer = device.createBuffer({ size: Math.max(1, slots.length) * SLOT, usage: GPU_UNIFORM | GPU_COPY_DST });
  slots.forEach((slot, i) => device.queue.writeBuffer(buffer, i * SLOT, slot));
  const params = queue.bindParams(buffer);
  const dispatches = encoded.map((dispatch) => ({ ...dispatch, params }));
  return {
    run() {
      engine.memory.expectOpen("replay");
      queue.pushAll(dispatches);
    },
    [Symbol.dispose]() {
      queue.destroy(buffer);
      scratch.free();
    },
  };
}

/** Scratch memory of a recording: one kernel's is the next one's, and nobody else's. */
class Scratch {
  readonly #engine: Engine;
  readonly #all: GpuStorage[] = [];
  readonly #idle = new Map<number, GpuStorage[]>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  take(byteLength: number): GpuStorage {
    const idle = this.#idle.get(sizeClass(byteLength))?.pop();
    if (idle !== undefined) return idle;
    const storage = this.#engine.memory.take(byteLength);
    this.#all.push(storage);
    return storage;
  }

  put(storage: GpuStorage): void {
    const size = sizeClass(storage.byteLength);
    this.#idle.set(size, [...(this.#idle.get(size) ?? []), storage]);
  }

  free(): void {
    for (const storage of this.#all.splice(0)) this.#engine.memory.put(storage);
  }
}
