// Optional abilities of WebGPU. A file without the types of WebGPU, which those who import this package may not have.

/** What kernels have variants for. The last one belongs to the language, the others to the device. */
export type WebGpuFeature = "subgroups" | "timestamp-query" | "packed_4x8_integer_dot_product";

export const webGpuFeatures: readonly WebGpuFeature[] = [
  "subgroups",
  "timestamp-query",
  "packed_4x8_integer_dot_product",
];
