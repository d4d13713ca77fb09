// Work for the device, in batches: dispatches are noted down and encoded together, into one pass, at a number of them or when someone reads.
import { BackendError, DeviceLostError, OutOfMemoryError } from "../../core/errors.js";
import { turn } from "../turn.js";
import { Fault, union } from "./fault.js";
import type { Dispatch, Pipeline } from "./dispatch.js";

/** Sees the dispatches of each batch, and may time them: every one then has a pass, and so two timestamps, of its own. */
export type Watch = (encoder: GPUCommandEncoder, dispatches: readonly Dispatch[]) => Timing | undefined;

export interface Timing {
  stamps(i: number): GPUComputePassTimestampWrites;
  /** After the last pass. */
  end(): void;
}

/** What a device may find, the innermost scope last. An internal error is one of its own compiler, with a shader that is right. */
const errorKinds: readonly GPUErrorFilter[] = ["out-of-memory", "internal", "validation"];

/** The largest batch of calls. Smaller ones start the device earlier, larger ones cost less to hand over. */
export const BATCH = 64;
/** The largest one at all: a query set holds two timestamps for each of so many dispatches. */
export const REPLAY_BATCH = 2048;
/** Bytes between the parameters of two dispatches: the alignment that every device takes. */
export const SLOT = 256;

export class Queue {
  readonly device: GPUDevice;
  /** Counts batches; a buffer used by the current one must not be written by the host before it is handed over. */
  batch = 1;
  /** So far. */
  submits = 0;
  dispatches = 0;
  watch: Watch | undefined;
  readonly #pending: Dispatch[] = [];
  /** Of the batch that is open. */
  #fault: Fault = new Fault();
  readonly paramsLayout: GPUBindGroupLayout;
  readonly #params: GPUBuffer;
  readonly #paramsGroup: GPUBindGroup;
  readonly #slots: ArrayBuffer = new ArrayBuffer(BATCH * SLOT);
  #used = 0;
  #doomed: GPUBuffer[] = [];
  /** Faults that nobody has been told of: open ones, and errors. */
  readonly #unsaid = new Set<Fault>();
  #lost: Error | undefined;
  #closed = false;

  constructor(device: GPUDevice) {
    this.device = device;
    this.#params = device.createBuffer({
      label: "parameters",
      size: BATCH * SLOT,
      usage: GPU_UNIFORM | GPU_COPY_DST,
    });
    this.paramsLayout = device.createBindGroupLayout({
      entries: [{ binding: 0, visibility: COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } }],
    });
    this.#paramsGroup = this.bindParams(this.#params);
    void device.lost.then(({ reason, message }) => {
      if (this.#closed) return;
      this.#lost = new DeviceLostError(
        `webgpu: the device must stay alive, but it was lost (${reason || "unknown"}: ${message}); open another backend with webgpu()`,
      );
    });
  }

  /** Binds a buffer of parameters, of which each dispatch sees one slot. */
  bindParams(buffer: GPUBuffer): GPUBindGroup {
    return this.device.createBindGroup({
      layout: this.paramsLayout,
      entries: [{ binding: 0, resource: { buffer, size: SLOT } }],
    });
  }

  /** A place for the parameters of the next dispatch: words to fill in, and where they begin. */
  slot({ fault }: Pipeline): { readonly at: number; readonly view: DataView } {
    if (this.#used === BATCH || !fault.settled) this.flush();
    const at = this.#used++ * SLOT;
    return { at, view: new DataView(this.#slots, at, SLOT) };
  }

  /** A dispatch whose parameters lie in the last {@link slot}. */
  push(dispatch: Dispatch): void {
    this.#note(dispatch);
    // A pipeline that the device refuses spoils its whole batch; a new one is alone in it.
    if (this.#used === BATCH || !dispatch.compiled.fault.settled) this.flush();
  }

  /** Hands over dispatches with parameters of their own, as one batch with what is open, or as few as there can be. */
  pushAll(dispatches: readonly Dispatch[]): void {
    for (const dispatch of dispatches) {
      const fresh = !dispatch.compiled.fault.settled;
      if (fresh) this.flush();
      this.#note(dispatch);
      if (fresh || this.#pending.length === REPLAY_BATCH) this.flush();
    }
    this.flush();
  }

  #note(dispatch: Dispatch): void {
    const { compiled, reads, writes } = dispatch;
    // Causes first: a batch is refused for what its operands and shaders are.
    const faults = union(...[...reads, ...writes].map((used) => used.faults), [compiled.fault], [this.#fault]);
    for (const { chunk } of reads) chunk.batch = this.batch;
    for (const used of writes) {
      used.chunk.batch = this.batch;
      used.faults = faults;
    }
    this.#pending.push(dispatch);
    this.dispatches++;
  }

  /** Hands the open batch over. */
  flush(): void {
    const dispatches = this.#pending.splice(0);
    const { device } = this;
    if (dispatches.length > 0 && this.#lost === undefined) {
      const submit = (): void => {
        if (this.#used > 0) device.queue.writeBuffer(this.#params, 0, this.#slots, 0, this.#used * SLOT);
        const encoder = device.createCommandEncoder();
        this.#encode(encoder, dispatches);
        device.queue.submit([encoder.finish()]);
        this.submits++;
      };
      const ops = (): string => [...new Set(dispatches.map(({ op }) => op))].join(", ");
      this.attempt(this.#fault, "submit", submit, async (_, said) => `the device must take ${ops()}, but ${said}`);
      this.batch++;
      this.#fault = new Fault();
    }
    this.#used = 0;
    for (const buffer of this.#doomed.splice(0)) buffer.destroy();
  }

  #encode(encoder: GPUCommandEncoder, dispatches: readonly Dispatch[]): void {
    const timing = this.watch?.(encoder, dispatches);
    let pass = timing ? undefined : encoder.beginComputePass();
    let pipeline: GPUComputePipeline | undefined;
    dispatches.forEach(({ compiled, params, paramsAt, windows, grid }, i) => {
      if (timing) pass = encoder.beginComputePass({ timestampWrites: timing.stamps(i) });
      if (timing || compiled.pipeline !== pipeline) pass?.setPipeline((pipeline = compiled.pipeline));
      pass?.setBindGroup(0, params ?? this.#paramsGroup, [paramsAt]);
      pass?.setBindGroup(1, windows);
      pass?.dispatchWorkgroups(...grid);
      if (timing) pass?.end();
    });
    if (timing) timing.end();
    else pass?.end();
  }

  /** Destroys a buffer as soon as no batch needs it that was not handed over. */
  destroy(buffer: GPUBuffer): void {
    if (this.#pending.length === 0) buffer.destroy();
    else this.#doomed.push(buffer);
  }

  /** Does something whose errors the device reports late, and lets `fault` know them. `explain` may tell more of what it says. */
  attempt<T>(fault: Fault, where: string, act: () => T, explain?: (made: T, said: string) => Promise<string>): T {
    const { device } = this;
    for (const kind of errorKinds) device.pushErrorScope(kind);
    let made: T;
    let answers: Promise<GPUError | null>[] = [];
    try {
      made = act();
    } finally {
      answers = errorKinds.map(() => device.popErrorScope());
    }
    fault.settleBy(
      Promise.all(answers).then(
        async ([invalid, internal, memory]) => {
          if (memory)
            return new OutOfMemoryError(
              `${where}: the device's memory must suffice, but it did not (${memory.message}); free tensors or use smaller ones`,
            );
          const refused = invalid ?? internal;
          if (refused === null) return undefined;
          return new BackendError(`${where}: ${(await explain?.(made, refused.message)) ?? refused.message}`);
        },
        () => this.#lost, // scopes of a lost device
      ),
    );
    this.#unsaid.add(fault);
    void fault.answered().then(() => fault.error === undefined && this.#unsaid.delete(fault));
    return made;
  }

  /** Resolves when these are good; rejects with the first error, with which the others count as told: they mostly follow from it. */
  async settled(faults: readonly Fault[]): Promise<void> {
    for (const fault of faults) await fault.answered();
    const first = faults.find(({ error }) => error !== undefined)?.error;
    if (first === undefined) return;
    for (const fault of faults) this.#unsaid.delete(fault);
    throw this.#lost ?? first;
  }

  /** All that was handed over is done, and good. */
  async idle(): Promise<void> {
    this.flush();
    await this.device.queue.onSubmittedWorkDone().catch(() => undefined);
    await this.settled([...this.#unsaid]);
    await turn(); // a device says that it is lost after its other promises are settled
    this.expectAlive();
  }

  /** @throws DeviceLostError */
  expectAlive(): void {
    if (this.#lost !== undefined) throw this.#lost;
  }

  /** Nothing is handed over any more. */
  close(): void {
    this.#closed = true;
    this.#pending.length = 0;
    this.#params.destroy();
    for (const buffer of this.#doomed.splice(0)) buffer.destroy();
  }
}

/** `GPUShaderStage.COMPUTE` and `GPUBufferUsage`, which Node does not have. */
export const COMPUTE = 0x4;
export const GPU_MAP_READ = 0x1;
export const GPU_COPY_SRC = 0x4;
export const GPU_COPY_DST = 0x8;
export const GPU_UNIFORM = 0x40;
export const GPU_STORAGE = 0x80;
export const GPU_QUERY_RESOLVE = 0x200;
