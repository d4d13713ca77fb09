import { presets, Qwen3, randomWeights, parameters, disposeAll, scope, trace, observe, countParameters, estimateMemory, generate, Random } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import * as all from "qwen-blocks";
console.log(Object.keys(all).sort().join(" "));
const b = await cpu();
const before = b.memory.usage();
const model = new Qwen3(randomWeights(b, 1), presets.toy);
console.log(parameters(model).size, [...parameters(model).keys()].slice(0, 14), b.memory.usage());
const ids = Array.from({ length: 40 }, (_, i) => (i * 37) % 250);
const whole = model.forward([ids]);
const full = await whole.data() as Float32Array; whole.dispose();
const cache = model.makeCache({ maxLength: 64 });
let same = 0, n = 0, worst = 0;
for (let t = 0; t < ids.length; t++) {
  const l = model.forward([[ids[t]]], { cache });
  const d = await l.data() as Float32Array; l.dispose();
  for (let i = 0; i < 260; i++) { n++; if (Object.is(d[i], full[t * 260 + i])) same++; worst = Math.max(worst, Math.abs(d[i] - full[t*260+i])); }
}
console.log("prefill=decode bits", same, n, worst);
const two = model.forward([ids, [...ids].reverse()]);
const d2 = await two.data() as Float32Array; two.dispose();
console.log("batch same", full.every((x, i) => Object.is(x, d2[i])));
cache.dispose();
const t = trace(() => scope(() => { const l = model.forward([ids.slice(0, 8)]); l.dispose(); return 0; }));
console.log(String(t)); console.log(t.counts);
console.log(b.memory.usage());
disposeAll(model);
console.log(b.memory.usage(), before);
console.log(countParameters(presets.toy), estimateMemory(presets["qwen3-15b-a2b"], { tokens: 4096, bitsPerWeight: 16, bitsPerCacheElement: 16 }));
