// How the webgpu backend hands work over: the order of batches, host writes and destructions, and whom a late error reaches.
import { OutOfMemoryError } from "qwen-blocks";
import { beforeEach, describe, expect, test, vi } from "vitest";
import type { Dispatch } from "../../src/backends/webgpu/dispatch.js";
import { BindGroups, Engine } from "../../src/backends/webgpu/engine.js";
import { GpuMemory, type GpuStorage } from "../../src/backends/webgpu/memory.js";
import { Pipelines } from "../../src/backends/webgpu/pipelines.js";
import { BATCH, Queue, REPLAY_BATCH } from "../../src/backends/webgpu/queue.js";
import type { Shader } from "../../src/backends/webgpu/shader.js";
import type { View } from "../../src/core/view.js";
import { fakeDevice, type FakeDevice } from "./fake-device.js";

const shader = (name: string): Shader => ({
  name,
  reads: { x: "f32" },
  writes: { y: "f32" },
  lanes: 1,
  // The name makes the text its own: equal texts are one pipeline.
  code: `fn run(group: u32, lane: u32) { y_set(group, x_at(group)); } // ${name}`,
});
const [first, second] = [shader("first"), shader("second")];

let fake: FakeDevice;
let queue: Queue;
let memory: GpuMemory;
let engine: Engine;
beforeEach(async () => {
  fake = fakeDevice();
  queue = new Queue(fake.device);
  memory = new GpuMemory(queue, 1 << 20);
  const pipelines = new Pipelines(queue, 1 << 18);
  const groups = new BindGroups(queue, pipelines);
  engine = new Engine({
    memory,
    pipelines,
    groups,
    limits: { window: 1 << 20, groupsPerDimension: 65535 },
    abilities: { subgroups: false, packedDot: false, emulated: false },
    sink: {
      slot: (compiled) => queue.slot(compiled),
      push: (dispatch) => queue.push(dispatch),
      take: (byteLength) => memory.take(byteLength),
      put: (storage) => memory.put(storage),
    },
  });
  // Once, so that the pipelines are no news any more.
  const [x, y] = [storage(), storage()];
  run(first, x, y);
  run(second, x, y);
  await queue.idle();
  for (const each of [x, y]) memory.free(each);
  fake.log.length = 0;
});

const storage = (): GpuStorage => memory.alloc(64);
const view = (storage: GpuStorage): View => ({ storage, dtype: "f32", shape: [16], offset: 0 });
const run = (which: Shader, x: GpuStorage, y: GpuStorage): void =>
  engine.during(which.name, () => engine.dispatch(which, [view(x), view(y)], [], 1));
const read = (from: GpuStorage): Promise<unknown> => memory.read(from, 0, 64);
/** Without the uploads of parameters, and the staging of reads. */
const log = (): string[] => fake.log.filter((entry) => entry !== "write 0" && !entry.startsWith("destroy"));

describe("batches", () => {
  test("wait for a read, which comes behind them", async () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    run(second, x, y);
    expect(log()).toEqual([]);
    await read(y);
    expect(log()).toEqual(["submit first second", `submit copy ${y.chunk.id + 1}`]);
  });

  test("go by themselves when they are full", () => {
    const [x, y] = [storage(), storage()];
    for (let i = 0; i < BATCH; i++) run(first, x, y);
    expect(log()).toEqual(["submit first"]);
  });

  test("go before a host write into what they use, and only then", () => {
    const [x, y, other] = [storage(), storage(), storage()];
    run(first, x, y);
    memory.write(other, 0, new Uint8Array(4));
    expect(log().filter((entry) => entry.startsWith("submit"))).toEqual([]);
    memory.write(x, 0, new Uint8Array(4));
    expect(log().map((entry) => entry.split(" ")[0])).toEqual(["write", "submit", "write"]);
  });

  test("a read copies before it waits: what comes later is not seen", async () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    const reading = read(y);
    run(second, x, y);
    memory.free(y);
    await reading;
    expect(log()).toEqual(["submit first", expect.stringMatching(/^submit copy/)]);
  });

  test("a buffer that they use is destroyed after them", () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    queue.destroy(y.chunk.buffer);
    expect(fake.log.filter((entry) => entry.startsWith("destroy"))).toEqual([]);
    queue.flush();
    expect(fake.log.map((entry) => entry.split(" ")[0])).toEqual(["write", "submit", "destroy"]);
  });

  test("a new shader has one of its own", () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    run(shader("third"), x, y);
    run(first, x, y);
    queue.flush();
    expect(log()).toEqual(["submit first", "submit third", "submit first"]);
  });

  test("closing the memory destroys all buffers, those of living tensors too", () => {
    const ids = [storage(), storage()].map(({ chunk }) => `destroy ${(chunk.buffer as unknown as { id: number }).id}`);
    memory.close();
    expect(fake.log.filter((entry) => entry.startsWith("destroy")).sort()).toEqual(ids.sort());
    expect(memory.chunks).toBe(0);
  });

  test("recorded dispatches are handed over at once", () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    queue.pushAll([]);
    expect(log()).toEqual(["submit first"]);
  });

  test("long recordings go in batches whose times fit a query set", () => {
    const recorded: Dispatch[] = [];
    const note = vi.spyOn(queue, "push").mockImplementation((dispatch) => void recorded.push(dispatch));
    run(first, storage(), storage());
    note.mockRestore();
    const sizes: number[] = [];
    queue.watch = (_, { length }) => void sizes.push(length);
    queue.pushAll(Array<Dispatch>(2 * REPLAY_BATCH + 1).fill(recorded[0]));
    expect(sizes).toEqual([REPLAY_BATCH, REPLAY_BATCH, 1]);
  });

  test("freed buffers come back, the oldest first", () => {
    const [x, y] = [storage(), storage()];
    const ids = [x.chunk.id, y.chunk.id];
    memory.free(x);
    memory.free(y);
    expect([storage().chunk.id, storage().chunk.id]).toEqual(ids);
    expect(memory.chunks).toBe(2);
  });
});

describe("late errors", () => {
  test("of a batch reach what it wrote, and what was made of that, but nothing else", async () => {
    const [x, bad, worse, good] = [storage(), storage(), storage(), storage()];
    run(first, x, bad);
    fake.errors.validation.push("a bad dispatch");
    queue.flush();
    run(second, bad, worse);
    queue.flush();
    run(first, x, good);
    await expect(read(bad)).rejects.toThrow("submit: the device must take first, but a bad dispatch");
    await expect(read(worse)).rejects.toThrow("submit: the device must take first, but a bad dispatch");
    await expect(read(good)).resolves.toHaveLength(64);
    await expect(read(x)).resolves.toHaveLength(64);
  });

  test("of a shader name the op and show the text with its lines numbered", async () => {
    const [x, y] = [storage(), storage()];
    fake.errors.validation.push("does not compile");
    run(shader("broken"), x, y);
    await expect(read(y)).rejects.toThrow(
      /broken: the shader broken must compile[\s\S]*error at 2:7: no such type[\s\S]*\n +2 {2}struct Params/,
    );
  });

  test("of a shader that only the driver refuses show what the device says", async () => {
    const [x, y] = [storage(), storage()];
    fake.messages.length = 0;
    fake.errors.internal.push("the driver's compiler gave up");
    run(shader("heavy"), x, y);
    await expect(read(y)).rejects.toThrow(
      /heavy: the shader heavy must compile[\s\S]*\nthe driver's compiler gave up\n +1 /,
    );
  });

  test("of memory are OutOfMemoryError; the refused buffer is never used again", async () => {
    fake.errors["out-of-memory"].push("no room");
    const refused = memory.alloc(1024);
    const { id } = refused.chunk;
    await expect(read(refused)).rejects.toThrow(OutOfMemoryError);
    memory.free(refused);
    expect(memory.alloc(1024).chunk.id).not.toBe(id);
  });

  test("that nobody read are told by idle, once", async () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    fake.errors.validation.push("unseen");
    await expect(queue.idle()).rejects.toThrow("submit: the device must take first, but unseen");
    await queue.idle();
  });

  test("a lost device: reads and idle reject, nothing is handed over any more", async () => {
    const [x, y] = [storage(), storage()];
    run(first, x, y);
    fake.lose("pulled out");
    await new Promise(setImmediate);
    await expect(read(y)).rejects.toThrow(/DeviceLostError|device must stay alive.*pulled out/);
    await expect(queue.idle()).rejects.toMatchObject({ name: "DeviceLostError", code: "DEVICE_LOST" });
    expect(log().filter((entry) => entry.includes("first"))).toEqual([]);
  });
});
