import { attention, fill, tensor, topK } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const { indices } = topK(tensor(backend, [1, 3, NaN, 3, 2]), 5);
console.log(await indices.data()); // 1 3 4 0 2: descending, ties by index, NaN last

// One query, one key of another segment: nothing is visible.
const q = fill(backend, [1, 1, 1, 4], 1);
const pool = fill(backend, [1, 1, 4], 1);
// Position, segment, first key row, row after the last; and position, segment, slot.
const queries = tensor(backend, Int32Array.of(0, 0, 0, 1), [1, 1, 4]);
const keys = tensor(backend, Int32Array.of(0, 1, 0), [1, 1, 3]);
const attrs = { scale: 0.5, causal: true, window: 0, sinks: 0, softcap: 0 };
console.log(await attention(q, pool, pool, queries, keys, attrs).data()); // 0 0 0 0
