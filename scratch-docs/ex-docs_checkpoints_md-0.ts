import { allParameters, configFromJson, configToJson, disposeAll, Qwen3 } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { encodeCheckpoint, loadModel, openCheckpoint, qwen3Names } from "qwen-blocks/io";

const backend = await cpu();
const checkpoint = await openCheckpoint("test/golden/moe-norm"); // a folder, a file, a URL, bytes, or files by name
const config = configFromJson(checkpoint.config);
const names = qwen3Names(config);
const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names });

// saveCheckpoint(folder, ...) writes the same files.
const files = await encodeCheckpoint(allParameters(model), configToJson(config), {
  dtype: "bf16",
  layout: "fused",
  names,
});
console.log(Object.entries(files).map(([name, bytes]) => `${name}: ${bytes.length} bytes`));
const again = await openCheckpoint(files);
console.log(checkpoint.tensors.size, "tensors, and fused", again.tensors.size);
disposeAll(model);
