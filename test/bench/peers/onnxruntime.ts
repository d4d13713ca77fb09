// onnxruntime-web (WebAssembly) and onnxruntime-node (native): a model of one MatMul, both operands its inputs.
import { onnxModel } from "./onnx-model.js";
import { left, load, matrix, probeOf, right, type ProductSize, type ProductTask } from "./product.js";
import { takeTurns } from "./turns.js";

interface Session {
  run(feeds: object): Promise<{ readonly y: { readonly data: ArrayLike<number> } }>;
}
interface Runtime {
  readonly env: { readonly wasm: { numThreads: number } };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly Tensor: new (type: string, data: Float32Array, shape: readonly number[]) => object;
}

await takeTurns(async (task: ProductTask & { readonly name: string }) => {
  const { m, k, n, threads, folder, name } = task;
  const { module, version } = await load(folder, name);
  const runtime = ((module as { default?: Runtime }).default ?? module) as Runtime;
  const web = name === "onnxruntime-web";
  if (web) runtime.env.wasm.numThreads = threads;
  const session = await runtime.InferenceSession.create(model(task), {
    executionProviders: [web ? "wasm" : "cpu"],
    intraOpNumThreads: threads,
  });
  const feeds = {
    a: new runtime.Tensor("float32", matrix(m, k, left), [m, k]),
    b: new runtime.Tensor("float32", matrix(k, n, right), [k, n]),
  };
  const { y } = await session.run(feeds);
  return {
    info: { version, threads },
    probe: probeOf(y.data, task),
    run: async () => void (await session.run(feeds)),
  };
});

function model({ m, k, n }: ProductSize): Uint8Array {
  const node = { op: "MatMul", inputs: ["a", "b"], outputs: ["y"] };
  return onnxModel({ nodes: [node], inputs: { a: [m, k], b: [k, n] }, outputs: { y: [m, n] } });
}
