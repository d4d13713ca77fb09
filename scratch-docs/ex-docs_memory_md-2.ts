import { add, mul, record, tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const x = tensor(backend, [1, 2, 3]);
const step = record(backend, () => add(mul(x, x), 1)); // runs once
console.log(await step.result.data()); // 2 5 10
x.write(Float32Array.of(10, 20, 30));
step.run();
console.log(await step.result.data()); // 101 401 901
step.result.dispose();
step.dispose();
x.dispose();
console.log(backend.memory.usage().buffers); // 0
