import { disposeAll, presets, Qwen3, randomWeights } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const model = new Qwen3(randomWeights(backend, 1), presets.toy);
const ids = Array.from({ length: 40 }, (_, i) => (i * 37) % 250);
const whole = await model.forward([ids]).data(); // [1, 40, 260] at once

let different = 0;
const cache = model.makeCache({ maxLength: 40 });
for (const [t, id] of ids.entries()) {
  const one = await model.forward([[id]], { cache }).data(); // the same token by token
  different += one.filter((x, i) => x !== whole[t * 260 + i]).length;
}
console.log(different); // 0
cache.dispose();
disposeAll(model);
