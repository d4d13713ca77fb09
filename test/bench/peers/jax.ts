// jax-js, which writes a WebAssembly kernel for each call; it consumes an array at its use, unless given a reference.
import { expectOneThread, left, load, matrix, probeOf, right, type ProductTask } from "./product.js";
import { takeTurns } from "./turns.js";

interface Numbers {
  readonly ref: Numbers;
  data(): Promise<ArrayLike<number>>;
}
interface Jax {
  init(): Promise<readonly string[]>;
  defaultDevice(device: string): unknown;
  readonly numpy: {
    array(values: Float32Array, options: { readonly shape: readonly number[] }): Numbers;
    matmul(a: Numbers, b: Numbers): Numbers;
  };
}

await takeTurns(async (task: ProductTask) => {
  const { m, k, n, threads, folder } = task;
  expectOneThread(threads, "its threads need web workers, which Node lacks");
  const { module, version } = await load(folder, "@jax-js/jax");
  const { init, defaultDevice, numpy } = module as Jax;
  const devices = await init();
  if (!devices.includes("wasm")) throw new Error(`its devices are ${devices.join(", ")}, without wasm`);
  defaultDevice("wasm");
  const a = numpy.array(matrix(m, k, left), { shape: [m, k] });
  const b = numpy.array(matrix(k, n, right), { shape: [k, n] });
  const multiply = (): Promise<ArrayLike<number>> => numpy.matmul(a.ref, b.ref).data();
  return {
    info: { version, threads },
    probe: probeOf(await multiply(), task),
    run: async () => void (await multiply()),
  };
});
