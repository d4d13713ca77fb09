// Decoding with a cache of keys and values: each step computes one token and gives the logits that the whole text would give again.
import { Qwen3, disposeAll, generate, presets, randomWeights } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";

const backend = await cpu();
const config = presets.toy; // 128 experts, 1.65 M parameters, here untrained
const model = new Qwen3(randomWeights(backend, 1), config);
const text = [..."A cache keeps what attention has seen."].map((letter) => letter.charCodeAt(0));
const prompt = text.slice(0, -4);

// Prefill the prompt at once, then go on token by token.
using cache = model.makeCache({ maxLength: text.length });
let last = model.forward([prompt], { cache, logits: "last" }); // [1, 1, vocabulary]
for (const token of text.slice(prompt.length)) {
  last.dispose();
  last = model.forward([[token]], { cache, logits: "last" });
}
console.log(`the cache holds ${cache.lengths[0]} tokens`);

using whole = model.forward([text], { logits: "last" });
const [stepwise, atOnce] = [await last.data(), await whole.data()];
const difference = Math.max(...Array.from(atOnce, (logit, i) => Math.abs(logit - stepwise[i])));
console.log(`largest difference from computing the text at once: ${difference.toExponential(1)}`);
last.dispose();

// The same, with sampling and stopping, is `generate`.
const written: number[] = [];
for await (const token of generate(model, text, { maxNewTokens: 8, temperature: 0.8 })) written.push(token);
console.log(`eight tokens of an untrained model: ${written.join(" ")}`);

disposeAll(model);
