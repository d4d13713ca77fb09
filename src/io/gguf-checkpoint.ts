// A GGUF file as a checkpoint in the layout of transformers: its tensors under the names that `qwen3Names` asks for, those of all experts cut
// into one per expert. Nothing is read or copied for that; a name is a place in the file.
import { CheckpointError, FormatError } from "../core/errors.js";
import { openGguf, type Gguf } from "./gguf.js";
import { ggufConfig } from "./gguf-config.js";
import { expertNames, layerNames, wholeNames } from "./gguf-names.js";
import { quote } from "./json-text.js";
import type { TensorEntry } from "./safetensors.js";
import type { Source } from "./source.js";
import type { ElementType } from "./stored-elements.js";

/** What a checkpoint consists of. */
interface GgufCheckpoint extends Pick<Gguf, "metadata" | "metadataTypes"> {
  readonly tensors: ReadonlyMap<string, Entry>;
  readonly config: unknown;
}
type Entry = TensorEntry<ElementType>;

/** More than any model has; a file of one number per expert must not grow into millions of names. */
const MAX_EXPERTS = 10_000;

/**
 * Opens a GGUF file of architecture qwen3 or qwen3moe. A tensor without a counterpart in transformers keeps its name.
 *
 * @throws FormatError if the file is malformed; CheckpointError if it is of another architecture or one part of several.
 */
export async function openGgufCheckpoint(source: Source): Promise<GgufCheckpoint> {
  const file = await openGguf(source);
  const { metadata, metadataTypes } = file;
  const parts = metadata.get("split.count") ?? 1;
  if (parts !== 1) {
    throw new CheckpointError(
      `${source.name}: must be a whole model, got one of several files; merge them with llama-gguf-split`,
    );
  }
  const config = ggufConfig(file);
  const tensors = new Map<string, Entry>();
  for (const entry of file.tensors.values()) {
    for (const [name, piece] of piecesOf(source.name, entry)) {
      if (tensors.has(name)) {
        throw new FormatError(`${source.name}: tensor ${quote(entry.name)}: must be the only ${quote(name)}, got two`);
      }
      tensors.set(name, piece);
    }
  }
  return { tensors, config, metadata, metadataTypes };
}

function piecesOf(file: string, entry: Entry): readonly (readonly [name: string, entry: Entry])[] {
  const [, layer, field, suffix] = /^(?:blk\.(\d+)\.)?(\w+)(\.weight|\.bias)$/.exec(entry.name) ?? [];
  if (field === undefined) return [[entry.name, entry]];
  if (layer === undefined) return [[own(wholeNames, field, suffix) ?? entry.name, entry]];
  const prefix = `model.layers.${layer}.`;
  const expert = own(expertNames, field, suffix);
  if (expert !== undefined && entry.shape.length === 3 && entry.begin < entry.end)
    return experts(file, entry, `${prefix}mlp.experts.`, expert);
  const name = own(layerNames, field, suffix);
  return [[name === undefined ? entry.name : prefix + name, entry]];
}

function own(names: Readonly<Record<string, string>>, field: string, suffix: string): string | undefined {
  return Object.hasOwn(names, field) ? names[field] + suffix : undefined;
}

function experts(file: string, entry: Entry, prefix: string, name: string): [string, Entry][] {
  const { shape, begin, end } = entry;
  const [count, ...matrix] = shape;
  if (count > MAX_EXPERTS) {
    throw new FormatError(
      `${file}: tensor ${quote(entry.name)}: must hold at most ${MAX_EXPERTS} experts, got ${count}`,
    );
  }
  const bytes = (end - begin) / count;
  return Array.from({ length: count }, (_, expert) => [
    `${prefix}${expert}.${name}`,
    { ...entry, shape: matrix, begin: begin + expert * bytes, end: begin + (expert + 1) * bytes },
  ]);
}
