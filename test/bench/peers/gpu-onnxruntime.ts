// onnxruntime-web with its WebGPU execution provider: operands lie on the device, and so do results until one is read.
import { onnxModel, type OnnxNode } from "./onnx-model.js";
import { epsilon, operandsOf, outputShape, type GpuSide, type GpuTask } from "./gpu-task.js";

interface OrtTensor {
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface Runtime {
  readonly env: {
    readonly wasm: { numThreads: number; wasmPaths: string };
    readonly webgpu: { readonly device: Promise<GPUDevice> };
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<{ run(feeds: object): Promise<{ readonly y: OrtTensor }> }>;
  };
  readonly Tensor: { fromGpuBuffer(buffer: GPUBuffer, options: object): OrtTensor };
}

export async function onnxruntimeAt(folder: string, task: GpuTask): Promise<GpuSide> {
  const address = `${folder}/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs`;
  const runtime = (await import(/* @vite-ignore */ address)) as Runtime;
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmPaths = `${folder}/onnxruntime-web/dist/`;
  // Its attention takes heads side by side.
  const operands = operandsOf(task, "columns").map(({ name, shape, numbers }) => ({
    ...{ name, numbers },
    shape: task.op === "attention" ? [shape[0], shape[1], shape[2] * shape[3]] : shape,
  }));
  const [b, t, h, d] = outputShape(task);
  const graph = {
    nodes: nodesOf(task),
    inputs: Object.fromEntries(operands.map(({ name, shape }) => [name, shape])),
    outputs: { y: task.op === "attention" ? [b, t, h * d] : outputShape(task) },
  };
  const session = await runtime.InferenceSession.create(onnxModel(graph), {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
  });
  const device = await runtime.env.webgpu.device;
  const feeds = Object.fromEntries(
    operands.map(({ name, shape, numbers }) => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      const buffer = device.createBuffer({ size: numbers.byteLength, usage });
      device.queue.writeBuffer(buffer, 0, numbers as Float32Array<ArrayBuffer>);
      return [name, runtime.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape })];
    }),
  );
  return async (count) => {
    for (let i = 1; i < count; i++) (await session.run(feeds)).y.dispose();
    const { y } = await session.run(feeds);
    const numbers = await y.getData();
    y.dispose();
    return numbers;
  };
}

function nodesOf(task: GpuTask): OnnxNode[] {
  switch (task.op) {
    case "linear":
      return [{ op: "MatMul", inputs: ["a", "b"], outputs: ["y"] }];
    case "softmax":
      return [{ op: "Softmax", inputs: ["x"], outputs: ["y"], attributes: { axis: -1 } }];
    case "rmsNorm":
      return [
        {
          op: "SimplifiedLayerNormalization",
          inputs: ["x", "weight"],
          outputs: ["y"],
          attributes: { axis: -1, epsilon },
        },
      ];
    case "swiglu":
      return [
        { op: "Split", inputs: ["x"], outputs: ["gate", "up"], attributes: { axis: -1 } },
        { op: "Sigmoid", inputs: ["gate"], outputs: ["share"] },
        { op: "Mul", inputs: ["gate", "share"], outputs: ["silu"] },
        { op: "Mul", inputs: ["silu", "up"], outputs: ["y"] },
      ];
    case "attention": {
      const attributes = { num_heads: task.heads };
      return [
        { op: "MultiHeadAttention", inputs: ["q", "k", "v"], outputs: ["y"], attributes, domain: "com.microsoft" },
      ];
    }
  }
}
