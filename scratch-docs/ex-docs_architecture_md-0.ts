import { randn, Random, softmax, trace, type Backend } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

// A backend without a kernel for softmax: the composite runs, and the trace says so.
const full = await cpu();
const backend: Backend = { ...full, kernels: { ...full.kernels, softmax: undefined } };
const { lines } = trace(() => softmax(randn(backend, [2, 8], new Random(1))));
for (const { depth, op, means, attrs } of lines) console.log("  ".repeat(depth) + op, means, JSON.stringify(attrs));
// softmax composed {}
//   reduce native {"op":"max","axes":[1]}
//   binary native {"op":"sub"}
//   unary native {"op":"exp"}
//   reduce native {"op":"sum","axes":[1]}
//   binary native {"op":"div"}
