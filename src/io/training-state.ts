// Everything that a training run needs to go on bit by bit, in one file: weights, the optimizer's tensors, and the scalars (step, random
// states, place in the schedule) as JSON in the header. One file means one rename, so there is never half a state.
import { elementsOver, type DType, type Elements } from "../core/dtype.js";
import { CheckpointError, FormatError } from "../core/errors.js";
import { sameShape, showShape, sizeOf, type Shape } from "../core/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { fileSource, writeFileAtomic } from "./files.js";
import { parseJson, quote } from "./json-text.js";
import { openSafetensors, type Safetensors, type TensorEntry } from "./safetensors.js";
import { readExactly, type SourceLike } from "./source.js";
import { copyOf, type StoredDType } from "./stored-elements.js";
import { tensorFile, type TensorFile, type TensorSlice } from "./tensor-file.js";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/** What is saved of a training run. */
export interface TrainingParts {
  /** As `parameters(model)` gives them. */
  readonly model: ReadonlyMap<string, Tensor>;
  /** The optimizer's tensors by name. */
  readonly optimizer: ReadonlyMap<string, Tensor>;
  /** Everything else. Numbers come back as they were (-0 as 0); NaN and infinities are refused, because JSON has none. */
  readonly state: JsonValue;
}

/** Which of the two groups of tensors. */
export type TrainingSection = "model" | "optimizer";

/** A saved run, opened. Tensors are read when asked for; no file stays open. */
export interface TrainingState {
  readonly state: JsonValue;
  /** Names of the tensors of a section, in order. */
  names(section: TrainingSection): readonly string[];
  /** The shape of a tensor. @throws CheckpointError if there is none of this name */
  shape(section: TrainingSection, name: string): Shape;
  /** The numbers of a tensor, bit by bit. @throws CheckpointError if there is none of this name */
  data(section: TrainingSection, name: string): Promise<Elements>;
  /**
   * Writes the saved numbers into existing tensors. A section that is given must have exactly the saved names, shapes and types; all of it is
   * checked before the first number is written.
   *
   * @throws CheckpointError that lists what differs.
   */
  restore(into: { readonly [S in TrainingSection]?: ReadonlyMap<string, Tensor> }): Promise<void>;
}

const FORMAT = "qwen-blocks-training-state";
const VERSION = "1";
const STATE_DEPTH = 64;
const LISTED = 10;
const storedTypes: Readonly<Record<DType, StoredDType>> = { f32: "F32", i32: "I32", u32: "U32" };

/**
 * Saves a run into one file, which holds the old state or the new one at any moment, whole.
 *
 * @throws FormatError if `state` holds what JSON does not.
 */
export async function saveTrainingState(path: string, parts: TrainingParts): Promise<void> {
  await writeFileAtomic(path, stateFile(parts).pieces());
}

/** The bytes that {@link saveTrainingState} would write, where there are no files. */
export async function encodeTrainingState(parts: TrainingParts): Promise<Uint8Array<ArrayBuffer>> {
  return stateFile(parts).bytes();
}

/** Opens a saved run by its path (Node) or from its bytes. @throws FormatError if it is none */
export async function loadTrainingState(from: string | SourceLike): Promise<TrainingState> {
  const file = await openSafetensors(typeof from === "string" ? await fileSource(from) : from, "training state");
  const { source, metadata, tensors } = file;
  const format = `${metadata.get("format")} ${metadata.get("version")}`;
  if (format !== `${FORMAT} ${VERSION}`) {
    throw new FormatError(
      `${source.name}: must be a training state of format ${FORMAT} ${VERSION}, got ${quote(format)}`,
    );
  }
  const state = parseJson(`${source.name}: state`, metadata.get("state") ?? "", STATE_DEPTH) as JsonValue;
  const names = (section: TrainingSection): string[] =>
    [...tensors.keys()].filter((key) => key.startsWith(`${section}.`)).map((key) => key.slice(section.length + 1));
  return {
    state,
    names,
    shape: (section, name) => entryOf(file, section, name).shape,
    data: async (section, name) => readBits(file, entryOf(file, section, name)),
    async restore(into) {
      const given = (["model", "optimizer"] as const).filter((section) => into[section] !== undefined);
      const flaws = given.flatMap((section) => differences(file, section, names(section), into[section]!));
      if (flaws.length > 0) {
        const more = flaws.length > LISTED ? `\n  and ${flaws.length - LISTED} more` : "";
        const lines = flaws.slice(0, LISTED).map((flaw) => `\n  ${flaw}`);
        throw new CheckpointError(`${source.name}: saved and given tensors must agree:${lines.join("")}${more}`);
      }
      for (const section of given) {
        for (const [name, tensor] of into[section]!) tensor.write(await readBits(file, entryOf(file, section, name)));
      }
    },
  };
}

function stateFile({ model, optimizer, state }: TrainingParts): TensorFile {
  const slices: TensorSlice[] = [];
  for (const [section, tensors] of Object.entries({ model, optimizer })) {
    for (const [name, tensor] of tensors) {
      const { shape, dtype } = tensor;
      slices.push({ name: `${section}.${name}`, dtype: storedTypes[dtype], shape, tensor, start: 0 });
    }
  }
  return tensorFile(slices, { format: FORMAT, version: VERSION, state: exactJson(state) });
}

/** JSON without the silent changes of `JSON.stringify`, which writes NaN as null and leaves out what it does not know. */
function exactJson(state: JsonValue): string {
  const text = JSON.stringify(state, (key, value: unknown) => {
    const isExact =
      value === null ||
      typeof value === "boolean" ||
      typeof value === "string" ||
      (typeof value === "number" && Number.isFinite(value)) ||
      Array.isArray(value) ||
      (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype);
    if (isExact) return value;
    throw new FormatError(
      `training state: state ${quote(key)} must be JSON, got ${typeof value === "number" ? value : typeof value}`,
    );
  });
  parseJson("training state: state", text, STATE_DEPTH);
  return text;
}

function entryOf({ source, tensors }: Safetensors, section: TrainingSection, name: string): TensorEntry {
  const entry = tensors.get(`${section}.${name}`);
  if (entry !== undefined) return entry;
  throw new CheckpointError(`${source.name}: must hold ${section} tensor ${quote(name)}`);
}

async function readBits({ source }: Safetensors, entry: TensorEntry): Promise<Elements> {
  const dtype = dtypeOfStored(entry.dtype);
  if (dtype === undefined) {
    throw new FormatError(`${source.name}: tensor ${quote(entry.name)} must hold F32, I32 or U32, got ${entry.dtype}`);
  }
  return elementsOver(dtype, copyOf(await readExactly(source, entry.begin, entry.end)), 0, sizeOf(entry.shape));
}

function dtypeOfStored(stored: StoredDType): DType | undefined {
  return (Object.keys(storedTypes) as DType[]).find((dtype) => storedTypes[dtype] === stored);
}

function differences(
  file: Safetensors,
  section: TrainingSection,
  saved: readonly string[],
  given: ReadonlyMap<string, Tensor>,
): string[] {
  const flaws = saved
    .filter((name) => !given.has(name))
    .map((name) => `${section} ${quote(name)} was saved but is not given`);
  for (const [name, tensor] of given) {
    const entry = file.tensors.get(`${section}.${name}`);
    if (entry === undefined) flaws.push(`${section} ${quote(name)} is given but was not saved`);
    else if (!sameShape(entry.shape, tensor.shape) || entry.dtype !== storedTypes[tensor.dtype]) {
      const was = `${entry.dtype.toLowerCase()}${showShape(entry.shape)}`;
      flaws.push(`${section} ${quote(name)} must be ${was} as it was saved, got ${tensor.toString()}`);
    }
  }
  return flaws;
}
