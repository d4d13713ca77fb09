import { cpu } from "../../src/backends/cpu/index.js";
import { conformanceCases } from "../../src/testing/conformance.js";
const backend = await cpu();
const seeds = Number(process.argv[2]),
  runs = Number(process.argv[3]);
const only = process.argv[4]?.split(",");
for (let seed = 100; seed < 100 + seeds; seed++)
  for (const c of conformanceCases(backend, { seed, runs, only })) {
    try {
      await c.run();
    } catch (e) {
      console.log(String((e as Error).message));
    }
  }
console.log("done");
