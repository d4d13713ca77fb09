import { mul, sum, tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const x = tensor(backend, [1, 2, 3]);
const before = backend.memory.usage().buffers;
const total = sum(mul(x, x)); // outside of any scope
total.dispose();
console.log(backend.memory.usage().buffers - before); // 1: the product
