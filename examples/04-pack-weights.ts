// Packed weights: the matrices of a model in 8 or 4 bits, in place. The same blocks compute with them; only the numbers are coarser.
import { Linear, PackedTensor, Qwen3, allParameters, disposeAll, presets, randomWeights } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { packModel } from "qwen-blocks/quant";

const backend = await cpu();
const sizeOf = (model: object): number =>
  [...allParameters(model).values()].reduce((total, weight) => total + weight.byteLength, 0);
const logitsOf = async (model: Qwen3): Promise<Float32Array> => {
  using logits = model.forward([[72, 101, 108, 108, 111]], { logits: "last" });
  return (await logits.data()) as Float32Array;
};

const plain = new Qwen3(randomWeights(backend, 1), presets.toy);
const exact = await logitsOf(plain);
console.log(`f32   ${(sizeOf(plain) / 1e6).toFixed(2)} MB`);
for (const scheme of ["q8_0", "q4_0"]) {
  const model = new Qwen3(randomWeights(backend, 1), presets.toy);
  // "q8": products round their inputs to 8 bits as well, which lets them run on integers.
  await packModel(model, { scheme, activations: "q8" });
  const logits = await logitsOf(model);
  const error = Math.hypot(...logits.map((logit, i) => logit - exact[i])) / Math.hypot(...exact);
  console.log(`${scheme}  ${(sizeOf(model) / 1e6).toFixed(2)} MB, logits off by ${(100 * error).toFixed(1)} %`);
  disposeAll(model);
}

// Routers stay f32 unless `where` names them; it may just as well leave other matrices alone.
await packModel(plain, { scheme: "q8_0", where: (path) => path.includes("experts") });
const packed = [...allParameters(plain)].filter(([, weight]) => weight instanceof PackedTensor);
console.log(`packed: ${packed.map(([path]) => path).join(", ")}`);
disposeAll(plain);

// Any block of your own takes part: a field `activations`, and matrices in public fields.
const block = new Linear(randomWeights(backend, 2), { inFeatures: 64, outFeatures: 8 });
await packModel({ block }, { scheme: "bf16" });
console.log(`a block alone: ${block.weight.toString()}`);
disposeAll(block);
