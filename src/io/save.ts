// Writes a model as a checkpoint in the layout of the field, so that transformers, llama.cpp and this library read it.
import { CheckpointError } from "../core/errors.js";
import { showShape, sizeOf } from "../core/shape.js";
import type { Parameter } from "../layers/layer.js";
import { Tensor } from "../tensor/tensor.js";
import { joinPath, makeFolder, writeFilesAtomic } from "./files.js";
import { isJsonObject } from "./json-text.js";
import { plainNames, type ExpertLayout, type Names } from "./names.js";
import { stackedShape, stacksOf } from "./stacked-rows.js";
import { encodeWeights, storedName, type WeightDType } from "./stored-elements.js";
import { tensorFile, type TensorFile, type TensorSlice } from "./tensor-file.js";

export interface SaveOptions {
  /** How numbers are stored. f16 and bf16 round to nearest. */
  readonly dtype: WeightDType;
  /** "per-expert" is what the published Qwen3 checkpoints have; transformers 5 reads both. */
  readonly layout: ExpertLayout;
  /** What the model's parameters are called in the checkpoint; `qwen3Names(config)`. Without it: the same. */
  readonly names?: Names;
}

/** The files of a checkpoint; `openCheckpoint` takes them as they are. */
export interface CheckpointFiles extends Record<string, Uint8Array<ArrayBuffer>> {
  readonly "model.safetensors": Uint8Array<ArrayBuffer>;
  readonly "config.json": Uint8Array<ArrayBuffer>;
}

/**
 * Writes `model.safetensors` and `config.json` into a folder, which is made if need be. Both reach the disk under temporary names before
 * they take over, so a crash loses nothing that was there.
 *
 * @param parameters as `allParameters(model)` gives them.
 * @param config what `config.json` shall hold; its `dtype` is set to the one that is written.
 * @throws CheckpointError if a parameter is packed, two have one name, or a number does not fit into `dtype`; nothing is replaced then.
 */
export async function saveCheckpoint(
  folder: string,
  parameters: ReadonlyMap<string, Parameter>,
  config: unknown,
  options: SaveOptions,
): Promise<void> {
  const file = modelFile(parameters, options);
  const configBytes = encodeConfig(config, options.dtype);
  await makeFolder(folder);
  await writeFilesAtomic([
    [joinPath(folder, "model.safetensors"), file.pieces()],
    [joinPath(folder, "config.json"), configBytes],
  ]);
}

/** The files that {@link saveCheckpoint} would write, where there is no folder to write to. */
export async function encodeCheckpoint(
  parameters: ReadonlyMap<string, Parameter>,
  config: unknown,
  options: SaveOptions,
): Promise<CheckpointFiles> {
  const bytes = await modelFile(parameters, options).bytes();
  return { "model.safetensors": bytes, "config.json": encodeConfig(config, options.dtype) };
}

function modelFile(parameters: ReadonlyMap<string, Parameter>, options: SaveOptions): TensorFile {
  const { dtype, layout, names = plainNames } = options;
  const slices = new Map<string, TensorSlice>();
  for (const [path, stack] of stacksOf(parameters)) {
    const tensors = stack.map((parameter) => plain(path, parameter));
    const whole = stackedShape(stack);
    let [held, start] = [0, 0];
    for (const { key, shape } of names.write(path, whole, layout)) {
      if (slices.has(key)) throw new CheckpointError(`${path}: must have a name of its own, got ${key} a second time`);
      // Rows of one type end where a tensor of the file that they came from does: no piece reaches into the next.
      if (start === tensors[held].size && held + 1 < tensors.length) [held, start] = [held + 1, 0];
      slices.set(key, { name: key, dtype: storedName(dtype), shape, tensor: tensors[held], start });
      start += sizeOf(shape);
    }
    if (held !== tensors.length - 1 || start !== tensors[held].size) {
      const given = tensors.slice(0, held).reduce((sum, { size }) => sum + size, start);
      throw new CheckpointError(`${path}: names must give all of ${showShape(whole)}, got ${given} elements`);
    }
  }
  // transformers refuses files that do not say which framework's axes they have.
  return tensorFile([...slices.values()], { format: "pt" }, ({ name }, data) =>
    encodeWeights(name, dtype, data as Float32Array),
  );
}

function plain(path: string, parameter: Parameter): Tensor {
  if (parameter instanceof Tensor && parameter.dtype === "f32") return parameter;
  throw new CheckpointError(
    `${path}: must be f32 to be saved, got ${parameter.toString()}; save the model before it is packed`,
  );
}

const torchNames: Readonly<Record<WeightDType, string>> = { f32: "float32", f16: "float16", bf16: "bfloat16" };

/** transformers casts weights to the config's `dtype` (`torch_dtype` before version 5), so it has to be the one of the file. */
function encodeConfig(config: unknown, dtype: WeightDType): Uint8Array<ArrayBuffer> {
  let written = config;
  if (isJsonObject(config)) {
    written = { ...config, dtype: torchNames[dtype] };
    if ("torch_dtype" in config) written = { ...config, torch_dtype: torchNames[dtype] };
  }
  return new TextEncoder().encode(`${JSON.stringify(written, undefined, 2)}\n`);
}
