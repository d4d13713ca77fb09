import { gatherRows, observe, randn, Random, tensor, trace } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const watched = observe(await cpu(), { check: true });
const table = randn(watched, [4, 8], new Random(1));
const { counts } = trace(() => gatherRows(table, tensor(watched, Int32Array.of(0, 9))));
await watched.idle();
console.log(counts, watched.calls.get("gatherRows")?.count); // { gatherRows: { native: 1, ... } } 1
console.log(watched.problems); // gatherRows: indices must be 0 to 3 or -1, got 9 ...
