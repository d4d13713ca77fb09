import { configFromJson, disposeAll, generate, Qwen3, trace } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { loadModel, openCheckpoint, qwen3Names } from "qwen-blocks/io";

const backend = await cpu();
const checkpoint = await openCheckpoint("test/golden/moe-norm"); // any folder with config.json and safetensors
const config = configFromJson(checkpoint.config);
const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });

const { result, lines } = trace(() => model.forward([[3, 1, 4, 1, 5]], { logits: "last" }));
for (const { op, inputs, outputs } of lines) console.log(op.padEnd(12), inputs.join(" "), "->", outputs.join(" "));
console.log(result.shape); // [1, 1, 96]
result.dispose();

const ids: number[] = [];
for await (const id of generate(model, [3, 1, 4], { maxNewTokens: 8, temperature: 0 })) ids.push(id);
console.log(ids);
disposeAll(model);
