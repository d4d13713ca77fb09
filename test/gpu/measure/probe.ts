// What the adapter says of itself, what its device reaches at best, and what a dispatch, a submit and a read cost on their own.
import { measureDevice, usage } from "../../bench/device-limits.js";
import { libraryVersion, machineFacts, showFacts } from "../../bench/machine.js";
import { deviceSizes, showRates } from "../../bench/measure-ops.js";
import { openDawn } from "../../bench/open.js";
import { median } from "../../bench/quartiles.js";
import type { Part } from "./step.js";

/** Dispatches that are handed over together. */
const batches = [1, 4, 16, 64, 256, 1024] as const;

export const probe: Part = async ({ runs, size: wanted }, print) => {
  const gpu = await openDawn();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter === null) throw new Error("there is no adapter; is a Vulkan driver installed?");
  const { vendor, architecture, device: name, description, isFallbackAdapter } = adapter.info;
  const info = { vendor, architecture, device: name, description, isFallbackAdapter };
  const features = [...adapter.features].sort();
  const language = [...gpu.wgslLanguageFeatures].sort();
  const limits = limitsOf(adapter.limits);
  const facts = { library: libraryVersion(), machine: machineFacts() };
  print(`qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}`);
  for (const [what, value] of Object.entries({ ...info, features, language }))
    print(`${what.padEnd(18)}${String(value)}`);
  for (const [what, value] of Object.entries(limits)) print(`${what.padEnd(44)}${value}`);
  const rates = await measureDevice(gpu, deviceSizes[wanted ?? (isFallbackAdapter ? "small" : "large")]);
  print(`\n${showRates(rates)}`);
  const latencies = await measureLatencies(adapter, runs);
  const perDispatch = latencies.dispatch.map(({ batch, microseconds }) => `${batch}: ${microseconds.toPrecision(3)}`);
  print(`a dispatch of one workgroup, us, by how many are submitted together: ${perDispatch.join(", ")}`);
  print(
    `an empty submit until it is done ${latencies.submit.toPrecision(3)} us, a read of 4 bytes ${latencies.read.toPrecision(3)} us`,
  );
  return { ...facts, info, features, language, limits, rates, latencies };
};

/** Their values are getters of a prototype. */
function limitsOf(limits: GPUSupportedLimits): Record<string, number> {
  const found: Record<string, number> = {};
  for (const name in limits) {
    const value: unknown = limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") found[name] = value;
  }
  return found;
}

interface Latencies {
  /** Until all of them are done, of each. */
  readonly dispatch: readonly { readonly batch: number; readonly microseconds: number }[];
  readonly submit: number;
  readonly read: number;
}

/** On the host's clock, in microseconds. Each dispatch reads what the one before has written. */
async function measureLatencies(adapter: GPUAdapter, runs: number): Promise<Latencies> {
  const device = await adapter.requestDevice();
  const code = `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) { x[i] = x[i] + 1.0; }`;
  const module = device.createShaderModule({ code });
  const pipeline = device.createComputePipeline({ layout: "auto", compute: { module } });
  const buffer = device.createBuffer({ size: 256, usage: usage.storage | usage.copySource });
  const layout = pipeline.getBindGroupLayout(0);
  const group = device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer } }] });
  const submit = (dispatches: number): void => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < dispatches; i++) pass.dispatchWorkgroups(1);
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
  const read = async (): Promise<void> => {
    const staging = device.createBuffer({ size: 4, usage: usage.mapRead | usage.copyTarget });
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, 4);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    staging.destroy();
  };
  const timed = async (act: () => Promise<void>): Promise<number> => {
    await act();
    const times: number[] = [];
    for (let run = 0; run < 4 * runs; run++) {
      const start = performance.now();
      await act();
      times.push(1000 * (performance.now() - start));
    }
    return median(times);
  };
  try {
    const done = async (dispatches: number): Promise<void> => {
      submit(dispatches);
      await device.queue.onSubmittedWorkDone();
    };
    const empty = await timed(() => done(0));
    const dispatch: { batch: number; microseconds: number }[] = [];
    for (const batch of batches) dispatch.push({ batch, microseconds: (await timed(() => done(batch))) / batch });
    return { dispatch, submit: empty, read: await timed(read) };
  } finally {
    device.destroy();
  }
}
