import { add, exp, mul, randn, Random, scope, sum } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const x = randn(backend, [1000], new Random(1));
const total = scope(() => {
  const y = exp(mul(x, 2)); // three tensors that die here
  return sum(add(y, 1)); // this one goes on
});
console.log(backend.memory.usage()); // { buffers: 2, bytes: 4004, scratch: 0 }
x.dispose();
total.dispose();
console.log(backend.memory.usage()); // { buffers: 0, bytes: 0, scratch: 0 }
await backend[Symbol.asyncDispose]();
