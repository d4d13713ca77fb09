// Our side of a comparison on GPUs.
import {
  attention,
  linear,
  rmsNorm,
  scope,
  sequencePositions,
  softmax,
  stepWithoutCache,
  swiglu,
  tensor,
} from "qwen-blocks";
import { reshape, type Backend, type Tensor } from "qwen-blocks";
import { epsilon, operandsOf, type GpuSide, type GpuTask } from "./gpu-task.js";

export function oursOn(backend: Backend, task: GpuTask): GpuSide {
  const operands = operandsOf(task, "rows").map(({ shape, numbers }) => tensor(backend, numbers, shape));
  const compute = computeOf(backend, task, operands);
  return async (count) => {
    for (let i = 1; i < count; i++) scope(compute).dispose();
    using last = scope(compute);
    return last.data();
  };
}

function computeOf(backend: Backend, task: GpuTask, [first, second, third]: readonly Tensor[]): () => Tensor {
  switch (task.op) {
    case "linear":
      return () => linear(first, second);
    case "rmsNorm":
      return () => rmsNorm(first, second, epsilon);
    case "softmax":
      return () => softmax(first);
    case "swiglu":
      return () => swiglu(first);
    case "attention": {
      const { tokens, keys: held, heads, d } = task;
      const attrs = { scale: d ** -0.5, causal: false, window: 0, sinks: 0, softcap: 0 };
      const { keys } = stepWithoutCache(backend, sequencePositions(1, held), false);
      const all = Int32Array.from({ length: 4 * tokens }, (_, i) => (i % 4 === 3 ? held : 0));
      const queries = tensor(backend, all, [1, tokens, 4]);
      const [k, v] = [second, third].map((pool) => reshape(pool, [held, heads, d]));
      return () => attention(first, k, v, queries, keys, attrs);
    }
  }
}
