// onnxruntime-web (WebAssembly) and onnxruntime-node (native): a model of one MatMul, both operands its inputs.
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

/** An ONNX file (protocol buffers; numbers of fields as in onnx.proto): y = MatMul(a, b). */
function model({ m, k, n }: ProductSize): Uint8Array {
  const operator = [...["a", "b"].flatMap((name) => text(1, name)), ...text(2, "y"), ...text(4, "MatMul")];
  const inputs = [...field(11, operand("a", [m, k])), ...field(11, operand("b", [k, n]))];
  const graph = [...field(1, operator), ...text(2, "product"), ...inputs, ...field(12, operand("y", [m, n]))];
  const operators = [...text(1, ""), ...integer(2, 17)];
  return Uint8Array.from([...integer(1, 8), ...field(7, graph), ...field(8, operators)]);
}

/** A name, the element type float, and a shape. */
function operand(name: string, shape: readonly number[]): number[] {
  const extents = shape.flatMap((extent) => field(1, integer(1, extent)));
  return [...text(1, name), ...field(2, field(1, [...integer(1, 1), ...field(2, extents)]))];
}

function field(number: number, bytes: readonly number[]): number[] {
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

function text(number: number, value: string): number[] {
  return field(number, [...new TextEncoder().encode(value)]);
}

function integer(number: number, value: number): number[] {
  return [...varint(number * 8), ...varint(value)];
}

/** Seven bits a byte, the lowest first; the eighth says that more follow. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}
