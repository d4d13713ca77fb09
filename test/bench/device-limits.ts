// What a GPU can do at best, by shaders that do nothing else: copies of memory, and multiply-adds in registers. They run on a device of
// their own and share nothing with the backend, so that its kernels are not measured by themselves.
import { BackendError } from "qwen-blocks";
import type { Limits } from "./limits.js";

/** `GPUBufferUsage` of browsers, which Node lacks. */
export const usage = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80, queryResolve: 0x200 } as const;

const lanes = 256;
const runs = 7;
/** One measurement is repeated in a pass until it takes about so long. */
const passMilliseconds = 20;

/** Elements of four words that each invocation copies, neighbours side by side. The fastest way counts. */
const copies = [1, 4] as const;
const copyShader = (each: number): string => `
@group(0) @binding(0) var<storage, read> x: array<vec4u>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4u>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = (id.y * count.x + id.x) * ${lanes * each}u + lane;
${Array.from({ length: each }, (_, i) => `  { let i = first + ${i * lanes}u; if (i < arrayLength(&y)) { y[i] = x[i]; } }`).join("\n")}
}`;

/** Chains that do not wait for each other, each of four numbers. */
const chains = 8;
const rounds = 64;
const flopsPerLane = 2 * 4 * chains * rounds;
const names = Array.from({ length: chains }, (_, i) => `a${i}`);
const fmaShader = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let place = ((id.y * count.x + id.x) * ${lanes}u + lane) % arrayLength(&y);
  let factor = x[place];
${names.map((name, i) => `  var ${name} = factor + ${i}.0;`).join("\n")}
  for (var i = 0u; i < ${rounds}u; i++) {
${names.map((name) => `    ${name} = fma(${name}, factor, factor);`).join("\n")}
  }
  y[place] = ${names.join(" + ")};
}`;

export interface DeviceSizes {
  /** Of one side of the copy; no cache may hold it. */
  readonly copiedBytes: number;
  /** Workgroups of the multiply-adds. */
  readonly groups: number;
}

/** @throws BackendError without an adapter or its clock */
export async function measureDevice(gpu: GPU, { copiedBytes, groups }: DeviceSizes): Promise<Limits> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter?.features.has("timestamp-query")) {
    throw new BackendError("device limits: the adapter must have timestamp-query, but there is none that has it");
  }
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({
    requiredFeatures: ["timestamp-query"],
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
  try {
    const size = Math.floor(Math.min(copiedBytes, maxStorageBufferBindingSize, maxBufferSize) / 16) * 16;
    const buffers = [size, size].map((size) => device.createBuffer({ size, usage: usage.storage }));
    let copyRate = 0;
    for (const each of copies) {
      const seconds = await fastest(device, copyShader(each), buffers, Math.ceil(size / 16 / lanes / each));
      copyRate = Math.max(copyRate, (2 * size) / seconds);
    }
    const seconds = await fastest(device, fmaShader, buffers, groups);
    return { bandwidth: copyRate, compute: (groups * lanes * flopsPerLane) / seconds };
  } finally {
    device.destroy();
  }
}

/** Seconds of one dispatch, by the device's clock, in the fastest of several passes. */
async function fastest(
  device: GPUDevice,
  code: string,
  buffers: readonly GPUBuffer[],
  groups: number,
): Promise<number> {
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = device.createBuffer({ size: 16, usage: usage.queryResolve | usage.copySource });
  const x = Math.min(groups, device.limits.maxComputeWorkgroupsPerDimension);
  const secondsOf = async (repetitions: number): Promise<number> => {
    const staging = device.createBuffer({ size: 16, usage: usage.mapRead | usage.copyTarget });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass({
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < repetitions; i++) pass.dispatchWorkgroups(x, Math.ceil(groups / x));
    pass.end();
    encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const [begin, end] = new BigUint64Array(staging.getMappedRange());
    const nanoseconds = Number(end - begin);
    staging.destroy();
    return nanoseconds / 1e9 / repetitions;
  };
  await secondsOf(1);
  const repetitions = Math.min(1000, Math.ceil(passMilliseconds / 1000 / Math.max(1e-7, await secondsOf(1))));
  let best = Infinity;
  for (let run = 0; run < runs; run++) best = Math.min(best, await secondsOf(repetitions));
  return best;
}
