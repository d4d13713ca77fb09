// A device with limits so small that tensors of a few thousand numbers meet them: a real one behind a proxy that states less than it has.
import { changed } from "./changed.js";
import { plainDevice } from "./dawn.js";

/**
 * Every tensor larger than a binding is bound in two pieces, none has more than two, and grids fold at 40 workgroups. The device beneath would
 * take more, so what it is asked for is checked here.
 * @param binding bytes that one binding shows
 */
export async function smallDevice(
  binding: number,
): Promise<{ readonly device: GPUDevice; readonly excesses: readonly string[] }> {
  const real = await plainDevice();
  const excesses: string[] = [];
  const expectAtMost = (most: number, what: string, got: number): void => {
    if (got > most) excesses.push(`${what}: ${got} where ${most} are allowed`);
  };
  const groups = 40;
  const limits = changed(real.limits, {
    maxStorageBufferBindingSize: binding,
    maxBufferSize: 2 * binding,
    maxComputeWorkgroupsPerDimension: groups,
  });
  const createBuffer: GPUDevice["createBuffer"] = (wanted) => {
    // Parameters are no storage, and lie within what every device has.
    if ((wanted.usage & 0x80) !== 0) expectAtMost(2 * binding, "bytes of a buffer", wanted.size);
    return real.createBuffer(wanted);
  };
  const createBindGroup: GPUDevice["createBindGroup"] = (wanted) => {
    for (const { resource } of wanted.entries) {
      const { buffer, size } = resource as GPUBufferBinding;
      expectAtMost(binding, "bytes of a binding", size ?? buffer.size);
    }
    return real.createBindGroup(wanted);
  };
  const createCommandEncoder: GPUDevice["createCommandEncoder"] = (wanted) => {
    const encoder = real.createCommandEncoder(wanted);
    const beginComputePass: GPUCommandEncoder["beginComputePass"] = (described) => {
      const pass = encoder.beginComputePass(described);
      const dispatchWorkgroups: GPUComputePassEncoder["dispatchWorkgroups"] = (...grid) => {
        for (const extent of grid) expectAtMost(groups, "workgroups", extent ?? 1);
        pass.dispatchWorkgroups(...grid);
      };
      return changed(pass, { dispatchWorkgroups });
    };
    return changed(encoder, { beginComputePass });
  };
  return { device: changed(real, { limits, createBuffer, createBindGroup, createCommandEncoder }), excesses };
}
