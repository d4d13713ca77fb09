// The product on our wasm backend: the weight of `linear` is stored [out, in].
import { linear, tensor } from "qwen-blocks";
import { open, type BackendOptions } from "../open.js";
import { left, matrix, probeOf, right, type ProductTask } from "./product.js";
import { takeTurns } from "./turns.js";

await takeTurns(async (task: ProductTask & { readonly build?: BackendOptions["build"] }) => {
  const { m, k, n, threads, build } = task;
  const backend = await open({ name: "wasm", threads, ...(build && { build }) });
  const x = tensor(backend, matrix(m, k, left), [m, k]);
  const weight = tensor(
    backend,
    matrix(n, k, (column, row) => right(row, column)),
    [n, k],
  );
  const multiply = async (): Promise<ArrayLike<number>> => {
    using y = linear(x, weight);
    return y.data();
  };
  const probe = probeOf(await multiply(), task);
  return { info: backend.info, probe, run: async () => void (await multiply()) };
});
