// `npx tsx examples/06-your-own-backend/main.ts` judges the backend beside it: does it obey the laws, and what does it compute by itself?
import { conformanceCases } from "qwen-blocks/testing";
import { compareWithCpu } from "./against-cpu.js";
import { plain } from "./backend.js";

await using backend = plain();
const cases = conformanceCases(backend, { runs: 20 });
const broken: string[] = [];
for (const { name, run } of cases) {
  await run().catch((error: unknown) => broken.push(error instanceof Error ? error.message : `${name}: ${error}`));
}
console.log(`${backend.name}: ${cases.length - broken.length} of ${cases.length} laws hold`);
for (const message of broken) console.log(message);

const { errors, native, composed } = await compareWithCpu(backend);
const apart = Math.max(...errors.values()).toExponential(1);
console.log(`mixture of experts: ${[...errors.keys()].join(", ")}`);
console.log(`  differ from cpu's by ${apart} of the largest number`);
console.log(`  ran natively: ${native.join(", ")}`);
console.log(`  were composed: ${composed.join(", ")}`);
if (broken.length > 0) process.exitCode = 1;
