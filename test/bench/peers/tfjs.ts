// TensorFlow.js with its WebAssembly backend.
import { expectOneThread, left, load, matrix, probeOf, right, type ProductTask } from "./product.js";
import { takeTurns } from "./turns.js";

interface Tensor {
  data(): Promise<ArrayLike<number>>;
  dispose(): void;
}
interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  tensor2d(values: Float32Array, shape: readonly number[]): Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
}

await takeTurns(async (task: ProductTask) => {
  const { m, k, n, threads, folder } = task;
  expectOneThread(threads, "its WebAssembly backend has no threads in Node");
  const { module } = await load(folder, "@tensorflow/tfjs-core");
  const { version } = await load(folder, "@tensorflow/tfjs-backend-wasm");
  const tf = module as TensorFlow;
  if (!(await tf.setBackend("wasm"))) throw new Error("its WebAssembly backend does not start");
  const a = tf.tensor2d(matrix(m, k, left), [m, k]);
  const b = tf.tensor2d(matrix(k, n, right), [k, n]);
  const multiply = async (): Promise<ArrayLike<number>> => {
    const y = tf.matMul(a, b);
    const numbers = await y.data();
    y.dispose();
    return numbers;
  };
  return {
    info: { version, threads },
    probe: probeOf(await multiply(), task),
    run: async () => void (await multiply()),
  };
});
