import fc from "fast-check";
import { cpu } from "../../src/backends/cpu/index.js";
import { everyCase } from "../../src/testing/every-case.js";
import { hostile } from "./hostile.js";
import { oracle } from "../../src/testing/oracle/oracle.js";
import { upload } from "../../src/testing/operands.js";
import { scope } from "../../src/tensor/scope.js";
import { present } from "../../src/testing/bench.js";
const which = process.argv[2] as "ieee" | "wgsl" | "cpu";
const backend = which === "cpu" ? await cpu() : await hostile(which);
const acc = which === "wgsl" ? "wgsl" : "ieee";
for (const [name, { calls, special }] of everyCase) {
  if (special) continue;
  const o = oracle(acc);
  let max = 0,
    n = 0,
    inf = 0,
    ints = 0,
    nzb = 0,
    bigrel = 0;
  for (const call of fc.sample(calls(backend.features), { numRuns: 60, seed: 5 })) {
    const hs = call.inputs.map((x) => upload(backend, x));
    const out = scope(() => present(call.run(hs, backend)) as never) as any[];
    const ho = call.inputs.map((x) => upload(o, x));
    const oo = scope(() => present(call.run(ho, o)) as never) as any[];
    for (let i = 0; i < out.length; i++) {
      const d = await out[i].data();
      const e = await o.inspect(oo[i]);
      for (let j = 0; j < d.length; j++) {
        n++;
        if (out[i].dtype !== "f32") {
          ints++;
          continue;
        }
        if (e.bound[j] === Infinity) {
          inf++;
          continue;
        }
        if (e.bound[j] > 0) {
          nzb++;
          max = Math.max(max, Math.abs(d[j] - e.value[j]) / e.bound[j]);
          if (e.bound[j] > 1e-3 * Math.abs(e.value[j])) bigrel++;
        }
      }
    }
  }
  console.log(
    name.padEnd(18),
    "n",
    n,
    "inf",
    inf,
    "ints",
    ints,
    "nzb",
    nzb,
    "max err/bound",
    max.toFixed(3),
    "rel>1e-3:",
    bigrel,
  );
}
