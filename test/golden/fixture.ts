// Reads a golden folder: a model, its inputs, and every number that transformers computed from them.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { configFromJson, FormatError, type Qwen3Config } from "qwen-blocks";
import {
  fileSource,
  openCheckpoint,
  openSafetensors,
  readElements,
  type Checkpoint,
  type Safetensors,
} from "qwen-blocks/io";

export interface Expected {
  readonly name: string;
  /** Largest difference between transformers' f32 and f64 runs. */
  readonly distance: number;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export interface Fixture {
  readonly config: Qwen3Config;
  readonly checkpoint: Checkpoint;
  readonly routerAuxLossCoef: number;
  readonly inputIds: Int32Array;
  readonly attentionMask: Int32Array;
  readonly positionIds: Int32Array;
  readonly labels: Int32Array;
  readonly shape: readonly [batch: number, tokens: number];
  /** In the order of comparison. */
  readonly expected: readonly Expected[];
}

interface Description {
  readonly format: string;
  readonly version: number;
  readonly routerAuxLossCoef: number;
  readonly tensors: readonly { readonly name: string; readonly distance: number }[];
}

/** @throws FormatError if the folder is not in the format of README.md */
export async function readFixture(folder: string): Promise<Fixture> {
  const description = JSON.parse(await readFile(join(folder, "golden.json"), "utf8")) as Description;
  if (description.format !== "qwen-blocks-golden" || description.version !== 1) {
    throw new FormatError(
      `${folder}: golden.json must have format qwen-blocks-golden and version 1, got ${description.format} ${description.version}`,
    );
  }
  const checkpoint = await openCheckpoint(folder);
  const file = await openSafetensors(await fileSource(join(folder, "golden.safetensors")));
  const integers = async (name: string): Promise<Int32Array> => (await elements(file, name)) as Int32Array;
  const expected: Expected[] = [];
  for (const { name, distance } of description.tensors) {
    const values = Float64Array.from(await elements(file, name));
    const low = file.tensors.has(`${name}.lo`) ? await elements(file, `${name}.lo`) : [];
    for (let i = 0; i < low.length; i++) values[i] += low[i];
    expected.push({ name, distance, shape: entry(file, name).shape, values });
  }
  return {
    config: configFromJson(checkpoint.config),
    checkpoint,
    routerAuxLossCoef: description.routerAuxLossCoef,
    inputIds: await integers("input_ids"),
    attentionMask: await integers("attention_mask"),
    positionIds: await integers("position_ids"),
    labels: await integers("labels"),
    shape: entry(file, "input_ids").shape as [number, number],
    expected,
  };
}

function entry(file: Safetensors, name: string) {
  const found = file.tensors.get(name);
  if (!found) throw new FormatError(`golden.safetensors must hold ${name}, got none`);
  return found;
}

/** Numbers of any type; `readElements` would round f64 to f32. */
async function elements(file: Safetensors, name: string): Promise<ArrayLike<number>> {
  const { dtype, begin, end } = entry(file, name);
  if (dtype !== "F64") return readElements(file.source, entry(file, name));
  return new Float64Array((await file.source.read(begin, end)).slice().buffer);
}
