// What goes wrong on a device: it is told at the next read by an error with a name, nothing hangs, and what does not depend on it goes on.
import {
  add, BackendError, DeviceLostError, generate, mul, OutOfMemoryError, parameters, Qwen3, Random, rmsNorm, scope, softmax, tensor, zeros, type Backend,
  type Tensor,
} from "qwen-blocks"; // prettier-ignore
import { AdamW, cosineSchedule, train, Trainer } from "qwen-blocks/train";
import { webgpu } from "qwen-blocks/webgpu";
import { afterEach, describe, expect, test } from "vitest";
import { livelyWeights, tinyConfig } from "../models/tiny.js";
import { changed } from "./changed.js";
import { dawn, openInNode, plainDevice } from "./dawn.js";

/** Closed after each test, whatever became of them. */
const opened: Backend[] = [];
async function open(...options: Parameters<typeof openInNode>): ReturnType<typeof openInNode> {
  const backend = await openInNode(...options);
  opened.push(backend);
  return backend;
}
afterEach(async () => {
  for (const backend of opened.splice(0)) await backend[Symbol.asyncDispose]();
});

const three = async (backend: Backend): Promise<number[]> => {
  using y = add(tensor(backend, [1]), 2);
  return [...(await y.data())];
};

describe("opening ends in a BackendError", () => {
  const refusals: readonly [string, () => Promise<object>, string][] = [
    ["without an adapter", async () => ({ requestAdapter: async () => null }), "the system must have a GPU adapter"],
    [
      "where the adapter gives no device",
      async () => {
        const adapter = (await (await dawn()).requestAdapter()) as GPUAdapter;
        const requestDevice = () => Promise.reject(new Error("no more of them"));
        return { requestAdapter: async () => changed(adapter, { requestDevice }) };
      },
      "the adapter must give a device, but it did not (no more of them)",
    ],
  ];
  test.each(refusals)("%s", async (_, entry, message) => {
    const error = await webgpu({ gpu: await entry() }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(BackendError);
    expect((error as Error).message).toContain(message);
  });

  test("for a feature that there is none of", async () => {
    await expect(openInNode({ features: ["shader-f16" as "subgroups"] })).rejects.toThrow(BackendError);
  });

  test("for a device that binds too few buffers", async () => {
    const device = await plainDevice();
    const limits = changed(device.limits, { maxStorageBuffersPerShaderStage: 4 });
    await expect(webgpu({ device: changed(device, { limits }) })).rejects.toThrow(
      "8 storage buffers per shader, got 4",
    );
    device.destroy();
  });
});

describe("a caller's device", () => {
  test("survives the backend, and serves the next one", async () => {
    const device = await plainDevice();
    let lost = false;
    void device.lost.then(() => (lost = true));
    for (let i = 0; i < 2; i++) {
      await using backend = await webgpu({ device });
      expect(await three(backend)).toEqual([3]);
    }
    await device.queue.onSubmittedWorkDone();
    expect(lost).toBe(false);
    device.destroy();
    expect((await device.lost).reason).toBe("destroyed");
  });

  test("serves two backends at once, whose tensors stay apart", async () => {
    const device = await plainDevice();
    const [one, other] = [await open({ device }), await open({ device })];
    const x = tensor(one, [1]);
    expect(() => add(x, tensor(other, [1]))).toThrow(/backend/);
    await one[Symbol.asyncDispose]();
    expect(await three(other)).toEqual([3]);
    await other[Symbol.asyncDispose]();
    device.destroy();
  });
});

/** A backend with a device of its own, which this opens the way to. */
async function openWithDevice(): Promise<{ readonly backend: Backend; readonly device: GPUDevice }> {
  const gpu = await dawn();
  let device: GPUDevice | undefined;
  const requestAdapter: GPU["requestAdapter"] = async (options) => {
    const adapter = (await gpu.requestAdapter(options)) as GPUAdapter;
    const requestDevice: GPUAdapter["requestDevice"] = async (wanted) => (device = await adapter.requestDevice(wanted));
    return changed(adapter, { requestDevice });
  };
  const backend = await open({ gpu: changed(gpu, { requestAdapter }) });
  return { backend, device: device as unknown as GPUDevice };
}

test("the backend's own device ends with it", async () => {
  const { backend, device } = await openWithDevice();
  await backend[Symbol.asyncDispose]();
  expect((await device.lost).reason).toBe("destroyed");
});

describe("a device that is lost", () => {
  const config = tinyConfig();

  test("ends reads that are under way, later ones, and idle", async () => {
    const { backend, device } = await openWithDevice();
    const x = tensor(backend, [1, 2, 3]);
    const y = softmax(mul(x, 2));
    const underWay = y.data();
    device.destroy();
    // What was computed before may still arrive.
    const first = await underWay.catch((error: unknown) => error);
    if (first instanceof Error) expect(first).toBeInstanceOf(DeviceLostError);
    await expect(x.data()).rejects.toThrow(DeviceLostError);
    await expect(add(x, y).data()).rejects.toThrow(DeviceLostError);
    await expect(tensor(backend, [1]).data()).rejects.toThrow("the device must stay alive");
    await expect(backend.idle()).rejects.toThrow(DeviceLostError);
    await expect(backend.idle()).rejects.toThrow(DeviceLostError);
    x.dispose();
    await backend[Symbol.asyncDispose]();
    expect(await three(await open())).toEqual([3]);
  });

  test("in the middle of a batch, which was not handed over", async () => {
    const { backend, device } = await openWithDevice();
    const x = tensor(backend, [1, 2, 3]);
    const y = mul(x, 2);
    device.destroy();
    await expect(softmax(y).data()).rejects.toThrow(DeviceLostError);
  });

  test("while a read waits for it", async () => {
    const { backend, device } = await openWithDevice();
    const x = zeros(backend, [256, 256]);
    const reads = Array.from({ length: 10 }, () => add(x, 1).data());
    device.destroy();
    for (const read of await Promise.allSettled(reads)) {
      if (read.status === "rejected") expect(read.reason).toBeInstanceOf(DeviceLostError);
    }
  });

  test("ends generation", async () => {
    const { backend, device } = await openWithDevice();
    const model = new Qwen3(livelyWeights(backend, 1), config);
    let made = 0;
    const generation = async (): Promise<void> => {
      for await (const _ of generate(model, [1, 2], { maxNewTokens: 50, temperature: 0 })) {
        if (++made === 3) device.destroy();
      }
    };
    await expect(generation()).rejects.toThrow(DeviceLostError);
    expect(made).toBeLessThan(6);
  });

  test("ends training", async () => {
    const { backend, device } = await openWithDevice();
    const model = new Qwen3(livelyWeights(backend, 1), config);
    const optimizer = new AdamW(parameters(model));
    const schedule = cosineSchedule({ peak: 1e-3, warmupSteps: 1, totalSteps: 50 });
    const trainer = new Trainer(model, { optimizer, schedule, routerAuxLossCoef: 0.01, routerZLossCoef: 0 });
    const text = Uint8Array.from({ length: 100 }, (_, i) => (i * i) % 11);
    let steps = 0;
    const training = async (): Promise<void> => {
      for await (const _ of train(trainer, text, {
        steps: 50,
        contextLength: 4,
        batchSize: 1,
        random: new Random(1),
      })) {
        if (++steps === 2) queueMicrotask(() => device.destroy()); // while the next step is noted down
      }
    };
    await expect(training()).rejects.toThrow(DeviceLostError);
    expect(steps).toBeLessThan(5);
  });
});

describe("out of memory", () => {
  test("more than a buffer can have is refused at once", async () => {
    const backend = await open();
    const x = tensor(backend, [1, 2]);
    expect(() => zeros(backend, [2 ** 40])).toThrow(OutOfMemoryError);
    expect(await add(x, 1).data()).toEqual(Float32Array.of(2, 3));
  });

  test(
    "more than the device has is told at the next read, and what was there stays usable",
    { timeout: 120_000 },
    async () => {
      const backend = await open();
      const x = tensor(backend, [1, 2]);
      const before = backend.memory.usage();
      const size = backend.features.maxBufferBytes / 4;
      const held: Tensor[] = [];
      let error: unknown;
      while (error === undefined && held.length < 1000) {
        const one = zeros(backend, [size]);
        held.push(one);
        using last = one.window([1], "f32", size - 1); // so that nothing large is copied
        error = await last.data().then(
          () => undefined,
          (error: unknown) => error,
        );
      }
      expect(error).toBeInstanceOf(OutOfMemoryError);
      expect((error as Error).message).toContain("memory must suffice");
      const derived = scope(() => add(held[held.length - 1].window([1], "f32", 0), x));
      await expect(derived.data()).rejects.toThrow(OutOfMemoryError);
      for (const one of [derived, ...held]) one.dispose();
      expect(backend.memory.usage()).toMatchObject({ buffers: before.buffers, bytes: before.bytes });
      expect(await add(x, 1).data()).toEqual(Float32Array.of(2, 3));
      expect(await add(zeros(backend, [1000]), 1).data()).toEqual(new Float32Array(1000).fill(1));
    },
  );
});

describe("a shader that the device refuses", () => {
  /** Spoils the text of all shaders whose name matches. */
  async function spoiled(names: RegExp): ReturnType<typeof open> {
    const device = await plainDevice();
    const createShaderModule: GPUDevice["createShaderModule"] = ({ label = "", code }) =>
      device.createShaderModule({ label, code: names.test(label) ? `${code}\nfn spoiled() { return none; }` : code });
    return open({ device: changed(device, { createShaderModule }) });
  }

  test("rejects the next read by the op's name and the numbered text; so do results made of it, and no others", async () => {
    const backend = await spoiled(/rms-norm/);
    const x = tensor(backend, [1, 2, 3, 4]);
    const earlier = mul(x, 2);
    const bad = rmsNorm(x, tensor(backend, [1, 1, 1, 1]), 1e-6);
    const derived = softmax(add(bad, earlier));
    const later = add(earlier, 1);
    const error = await bad.data().catch((error: unknown) => error as Error);
    expect(error).toBeInstanceOf(BackendError);
    const { message } = error as Error;
    expect(message).toContain("rmsNorm: the shader rms-norm must compile");
    expect(message).toContain("unresolved value 'none'");
    expect(message).toMatch(/^ +1 {2}/m);
    expect(message).toMatch(/^ +\d+ {2}@compute @workgroup_size\(\d+\)$/m);
    await expect(derived.data()).rejects.toThrow(BackendError);
    expect(await earlier.data()).toEqual(Float32Array.of(2, 4, 6, 8));
    expect(await later.data()).toEqual(Float32Array.of(3, 5, 7, 9));
    // It is not compiled again, and is as wrong as before.
    await expect(rmsNorm(x, x, 1e-6).data()).rejects.toThrow(BackendError);
    expect(await mul(x, 3).data()).toEqual(Float32Array.of(3, 6, 9, 12));
  });

  test("that nobody reads from is told by idle, once", async () => {
    const backend = await spoiled(/rms-norm/);
    const x = tensor(backend, [1, 2, 3, 4]);
    rmsNorm(x, x, 1e-6);
    await expect(backend.idle()).rejects.toThrow(BackendError);
    await backend.idle();
    expect(await mul(x, 3).data()).toEqual(Float32Array.of(3, 6, 9, 12));
  });
});

test("a read that is under way while the backend closes settles", async () => {
  const backend = await open();
  const reads = [mul(tensor(backend, [1]), 2).data(), add(tensor(backend, [1]), 2).data(), backend.idle()];
  await backend[Symbol.asyncDispose]();
  await Promise.allSettled(reads);
});
