// Writes a model as a GGUF file that llama.cpp computes the same from: what it would compute otherwise is refused before the first byte.
import { CheckpointError } from "../core/errors.js";
import { rowsOf, showShape, type Shape } from "../core/shape.js";
import { allParameters, type Parameter } from "../layers/layer.js";
import type { Words } from "../quant/schemes/scheme.js";
import { PackedTensor } from "../tensor/packed-tensor.js";
import { Tensor } from "../tensor/tensor.js";
import { writeFileAtomic } from "./files.js";
import { tensorTypeIds, type GgufDType } from "./gguf-format.js";
import { expectGraph } from "./gguf-graph.js";
import { ggufMetadata, type ConfigJson, type GivenMetadata } from "./gguf-metadata.js";
import { ggufName, ggufShapes } from "./gguf-names.js";
import { aligned, planGguf } from "./gguf-writer.js";
import { isJsonObject } from "./json-text.js";
import { qwen3Names } from "./qwen3-names.js";
import { rowsWithin, stackedShape, stacksOf, type Rows } from "./stacked-rows.js";
import { isBlockDType, isPackable, joinRows, type PackableDType } from "./stored-blocks.js";
import { encodeWeights, storedName, unitOf, type WeightDType } from "./stored-elements.js";
import { fileOf, PIECE_ELEMENTS, readPart, type TensorFile } from "./tensor-file.js";

export interface SaveGgufOptions extends GivenMetadata {
  /** How plain matrices are stored; f16 and bf16 round to nearest. Packed ones stay as they are; norms and plain routers are F32. */
  readonly dtype: WeightDType;
  /**
   * Keys beside those of the config, such as the tokenizer's, from `openGguf` or your own. Without `tokenizer.ggml.tokens` the file says that it
   * has no tokenizer, and llama.cpp takes ids alone.
   */
  readonly metadata?: GivenMetadata["metadata"];
  /** What each value is stored as; unless given: integers as u32 or i32, other numbers as f32, typed arrays as what they are. */
  readonly metadataTypes?: GivenMetadata["metadataTypes"];
  /** Ends the writing; nothing is replaced then. */
  readonly signal?: AbortSignal;
}

/**
 * Writes a Qwen3 or Qwen3-MoE model, plain or packed, as one GGUF file of architecture qwen3 or qwen3moe. It reaches the disk under a temporary
 * name before it takes over, so a crash loses nothing that was there. Beside the model a piece of one tensor is in memory.
 *
 * @param config the model's config.json, as `configToJson(config)` gives it.
 * @throws ConfigError if llama.cpp would ignore a field or compute otherwise; CheckpointError if tensors are missing, misshapen, too many, or in
 *   a type that GGUF has not, or a number does not fit into `dtype`; FormatError if metadata do not fit their types. Nothing is replaced then.
 */
export async function saveGguf(path: string, model: object, config: unknown, options: SaveGgufOptions): Promise<void> {
  await writeFileAtomic(path, ggufFile(model, config, options).pieces());
}

/** The file that {@link saveGguf} would write, where there is no folder to write to. */
export async function encodeGguf(
  model: object,
  config: unknown,
  options: SaveGgufOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  return ggufFile(model, config, options).bytes();
}

/** A tensor of the file and what it consists of, in order. */
interface Stored {
  readonly name: string;
  readonly dtype: GgufDType;
  readonly shape: Shape;
  readonly slices: readonly Rows[];
}

function ggufFile(model: object, config: unknown, { dtype, signal, ...given }: SaveGgufOptions): TensorFile {
  if (!isJsonObject(config)) throw new CheckpointError("saveGguf: config must be an object; give configToJson(config)");
  const metadata = new Map(ggufMetadata(config, given));
  expectGraph(model, config);
  const tensors = tensorsOf(model, config, dtype);
  const quantized = tensors.some((tensor) => isBlockDType(tensor.dtype));
  const version = "general.quantization_version";
  if (quantized && !metadata.has(version)) metadata.set(version, { type: "u32", value: 2 });
  const { head, alignment, byteLength } = planGguf(tensors, metadata);
  return fileOf(byteLength, async function* () {
    yield head;
    for (const tensor of tensors) {
      let written = 0;
      for await (const piece of piecesOf(tensor, dtype)) {
        signal?.throwIfAborted();
        written += piece.byteLength;
        yield piece;
      }
      yield new Uint8Array(aligned(written, alignment) - written);
    }
    signal?.throwIfAborted();
  });
}

/** The tensors that the file must have, or all that is wrong with them. */
function tensorsOf(model: object, config: ConfigJson, dtype: WeightDType): Stored[] {
  const wrong: string[] = [];
  const found = new Map<string, Rows[]>();
  for (const [path, stack] of stacksOf(allParameters(model))) placeRows(path, stack, config, found, wrong);
  const stored: Stored[] = [];
  for (const [name, shape] of ggufShapes(config)) {
    const slices = found.get(name);
    found.delete(name);
    if (slices === undefined) wrong.push(`${name} ${showShape(shape)} must be in the model, got none`);
    else stored.push({ name, shape, slices, dtype: dtypeOf(name, shape, slices, dtype, wrong) });
  }
  for (const name of found.keys()) wrong.push(`${name} has no place in a model of this config`);
  if (wrong.length === 0) return stored;
  throw new CheckpointError(`saveGguf: model and config must be what llama.cpp computes:\n  ${wrong.join("\n  ")}`);
}

/** Cuts a matrix at the rows of the file's tensors. */
function placeRows(
  path: string,
  stack: readonly Parameter[],
  config: ConfigJson,
  found: Map<string, Rows[]>,
  wrong: string[],
): void {
  const heads = {
    numAttentionHeads: config.num_attention_heads as number,
    numKeyValueHeads: config.num_key_value_heads as number,
    headDim: config.head_dim as number,
  };
  let row = 0;
  for (const piece of qwen3Names(heads).write(path, stackedShape(stack), "per-expert")) {
    const name = ggufName(piece.key);
    if (name === undefined) {
      wrong.push(`${path} has no place in llama.cpp's graph; leave it out of the model, or save as safetensors`);
      return;
    }
    const { rows } = rowsOf(piece.shape);
    found.set(name, [...(found.get(name) ?? []), ...rowsWithin(stack, row, rows)]);
    row += rows;
  }
}

/** Of the file's tensor; what is wrong with it is added to `wrong`. */
function dtypeOf(name: string, shape: Shape, slices: readonly Rows[], dtype: WeightDType, wrong: string[]): GgufDType {
  const { rows, width } = rowsOf(shape);
  const count = slices.reduce((sum, slice) => sum + slice.rows, 0);
  const [{ parameter }] = slices;
  if (count !== rows || slices.some((slice) => rowsOf(slice.parameter.shape).width !== width))
    wrong.push(`${name} must be ${showShape(shape)}, got ${count} rows of ${rowsOf(parameter.shape).width}`);
  const kinds = new Set(slices.map((slice) => slice.parameter.toString().replace(/\[.*/, "")));
  if (kinds.size > 1) wrong.push(`${name} must be stored in one way, got ${[...kinds].join(", ")}`);
  if (parameter instanceof Tensor) {
    if (parameter.dtype !== "f32") wrong.push(`${name} must hold f32, got ${parameter.toString()}`);
    return shape.length === 1 || name.includes("ffn_gate_inp") ? "F32" : storedName(dtype);
  }
  const stored = parameter.scheme.name.toUpperCase();
  if (!isPackable(stored) || parameter.layout !== "plain") {
    const known = Object.keys(tensorTypeIds).filter((type) => type !== "F32");
    wrong.push(`${name} must be f32, or packed as ${known.join(", ").toLowerCase()}, got ${parameter.toString()}`);
    return "F32";
  }
  const { elements } = unitOf(stored);
  if (width % elements !== 0)
    wrong.push(
      `${name} must have rows of a multiple of ${elements} numbers to be ${stored}, got ${showShape(shape)}; pack it otherwise, or leave it plain by packModel's where`,
    );
  return stored;
}

async function* piecesOf({ name, dtype, shape, slices }: Stored, plain: WeightDType): AsyncGenerator<Uint8Array> {
  const { width } = rowsOf(shape);
  const step = Math.max(Math.floor(PIECE_ELEMENTS / width), 1);
  for (const { parameter, row, rows } of slices) {
    for (let at = row; at < row + rows; at += step) {
      const count = Math.min(step, row + rows - at);
      if (parameter instanceof PackedTensor) yield await packedRows(name, dtype, parameter, at, count, width);
      else {
        const data = (await readPart(parameter, at * width, count * width)) as Float32Array;
        yield encodeWeights(name, dtype === "F32" ? "f32" : plain, data);
      }
    }
  }
}

/** The rows' bytes as the file has them. */
async function packedRows(
  name: string,
  dtype: GgufDType,
  { parts }: PackedTensor,
  row: number,
  rows: number,
  width: number,
): Promise<Uint8Array> {
  const words: Words[] = [];
  for (const part of parts) {
    const wordsPerRow = part.shape[1];
    words.push((await readPart(part, row * wordsPerRow, rows * wordsPerRow)) as Words);
  }
  const NAN = 255;
  if (dtype === "MXFP4" && new Uint8Array(words[1].buffer, words[1].byteOffset, words[1].byteLength).includes(NAN)) {
    throw new CheckpointError(`${name}: every number must be finite to be MXFP4, whose NaN llama.cpp reads as 2^128`);
  }
  return joinRows(dtype as PackableDType, words, width);
}
