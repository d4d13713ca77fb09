// A checkpoint: one safetensors file, or several and an index, with a config beside them; or a GGUF file. Opening it reads headers only.
import { CheckpointError, FormatError } from "../core/errors.js";
import { findFile, fileSource, kindOf, joinPath } from "./files.js";
import { openGgufCheckpoint } from "./gguf-checkpoint.js";
import { GGUF_MAGIC } from "./gguf-format.js";
import type { MetadataType } from "./gguf-value-types.js";
import type { MetadataValue } from "./gguf-values.js";
import { decodeText, isJsonObject, parseJson, quote, show } from "./json-text.js";
import { openSafetensors, readElements, type TensorEntry } from "./safetensors.js";
import { asSource, isSource, readExactly, type Source, type SourceLike } from "./source.js";
import type { ElementType } from "./stored-elements.js";
import { findUrl } from "./url-source.js";

/** Where one tensor of a checkpoint lies. */
export interface CheckpointTensor extends TensorEntry<ElementType> {
  /** The file that holds it. */
  readonly source: Source;
}

/** An opened checkpoint. It holds no file open, so there is nothing to close. */
export interface Checkpoint {
  /** For messages. */
  readonly name: string;
  readonly format: "safetensors" | "gguf";
  /** By the names of transformers, also those of a GGUF file: `blk.0.attn_q.weight` is `model.layers.0.self_attn.q_proj.weight`. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** `config.json`, parsed, or what the keys of a GGUF file amount to; undefined if there is none. */
  readonly config: unknown;
  /** Of the file, or of all shards together. */
  readonly metadata: ReadonlyMap<string, MetadataValue>;
  /** What each of a GGUF file's is stored as. */
  readonly metadataTypes?: ReadonlyMap<string, MetadataType>;
}

/** Files by name, as they lie in a checkpoint's folder: what a page has instead of a folder. */
export type NamedFiles = Readonly<Record<string, SourceLike>>;

/** Looks a file up by its name within a checkpoint. */
interface Folder {
  readonly name: string;
  find(file: string): Promise<Source | undefined>;
}

const MODEL_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";
const CONFIG_FILE = "config.json";
/** Indices of the largest models have some MB; beyond this it is no index. */
const MAX_JSON_BYTES = 100_000_000;
const INDEX_DEPTH = 3;
const CONFIG_DEPTH = 32;

/**
 * Opens a checkpoint: a folder, or a `.safetensors` or `.gguf` file, by its path (Node) or its URL, one file's bytes, or files by name. A folder holds
 * `model.safetensors`, or `model.safetensors.index.json` and the shards that it names, and mostly `config.json`.
 *
 * @throws FormatError if a file is malformed; CheckpointError if a file is missing or index and shards disagree.
 */
export async function openCheckpoint(from: string | URL | SourceLike | NamedFiles): Promise<Checkpoint> {
  if (typeof from === "string") {
    if (/^https?:\/\//.test(from)) return openCheckpoint(new URL(from));
    const kind = await kindOf(from);
    if (kind === undefined) throw new CheckpointError(`${from}: must be a folder or a file, got nothing there`);
    if (kind === "file") return openFile(await fileSource(from));
    return openFolder({ name: from, find: (file) => findFile(joinPath(from, file)) });
  }
  if (from instanceof URL) return openUrl(from);
  if (isSource(from) || from instanceof Uint8Array || from instanceof Blob) return openFile(asSource(from));
  const name = `files ${Object.keys(from).join(", ")}`;
  return openFolder({
    name: name.length > 100 ? `${name.slice(0, 100)}...` : name,
    find: async (file) => (Object.hasOwn(from, file) ? asSource(from[file], file) : undefined),
  });
}

/** Reads one tensor: floating-point numbers as f32, integers as i32. @throws CheckpointError if there is none of this name */
export async function readTensor(
  checkpoint: Checkpoint,
  name: string,
): Promise<Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>> {
  const entry = checkpoint.tensors.get(name);
  if (entry === undefined) throw new CheckpointError(`${checkpoint.name}: must hold a tensor ${quote(name)}`);
  return readElements(entry.source, entry);
}

async function openUrl(url: URL): Promise<Checkpoint> {
  if (/\.(safetensors|gguf)$/.test(url.pathname)) {
    const source = await findUrl(url);
    if (source !== undefined) return openFile(source);
    throw new CheckpointError(`${url.href}: must exist, got HTTP status 404`);
  }
  return openFolder({
    name: url.href,
    find: (file) => {
      const at = new URL(url);
      at.pathname = `${url.pathname.replace(/\/$/, "")}/${encodeURIComponent(file)}`;
      return findUrl(at);
    },
  });
}

async function openFile(source: Source): Promise<Checkpoint> {
  const start = await readExactly(source, 0, Math.min(source.byteLength, GGUF_MAGIC.length));
  // As the length of a safetensors header these bytes are more than that format allows, so no file is both.
  if (String.fromCharCode(...start) !== GGUF_MAGIC) return openSafetensorsFile(source);
  const { tensors, ...rest } = await openGgufCheckpoint(source);
  return { name: source.name, format: "gguf", tensors: withSource(tensors, source), ...rest };
}

async function openSafetensorsFile(source: Source): Promise<Checkpoint> {
  const { tensors, metadata } = await openSafetensors(source);
  return {
    name: source.name,
    format: "safetensors",
    tensors: withSource(tensors, source),
    config: undefined,
    metadata,
  };
}

async function openFolder(folder: Folder): Promise<Checkpoint> {
  const configFile = await folder.find(CONFIG_FILE);
  const config = configFile === undefined ? undefined : await readJson(configFile, CONFIG_DEPTH);
  // The single file comes first, as in transformers.
  const whole = await folder.find(MODEL_FILE);
  if (whole !== undefined) return { ...(await openSafetensorsFile(whole)), name: folder.name, config };
  const index = await folder.find(INDEX_FILE);
  if (index !== undefined) {
    return { name: folder.name, format: "safetensors", config, ...(await openShards(folder, index)) };
  }
  throw new CheckpointError(`${folder.name}: must hold ${MODEL_FILE} or ${INDEX_FILE}`);
}

async function openShards(folder: Folder, index: Source): Promise<Pick<Checkpoint, "tensors" | "metadata">> {
  const weightMap = readWeightMap(index.name, await readJson(index, INDEX_DEPTH));
  const tensors = new Map<string, CheckpointTensor>();
  const metadata = new Map<string, string>();
  for (const shard of new Set(weightMap.values())) {
    const source = await folder.find(shard);
    if (source === undefined) throw new CheckpointError(`${index.name}: names a shard ${quote(shard)} that is missing`);
    const file = await openSafetensors(source);
    for (const [key, value] of file.metadata) metadata.set(key, value);
    for (const [name, entry] of withSource(file.tensors, source)) {
      const other = tensors.get(name);
      if (other !== undefined) {
        throw new CheckpointError(
          `${folder.name}: tensor ${quote(name)} must be in one shard, got it in ${other.source.name} and ${source.name}`,
        );
      }
      tensors.set(name, entry);
    }
    for (const [name, expected] of weightMap) {
      if (expected === shard && !file.tensors.has(name)) {
        throw new CheckpointError(
          `${index.name}: places tensor ${quote(name)} in ${quote(shard)}, which does not hold it`,
        );
      }
    }
  }
  return { tensors, metadata };
}

function readWeightMap(where: string, index: unknown): ReadonlyMap<string, string> {
  const map = isJsonObject(index) ? index.weight_map : undefined;
  if (!isJsonObject(map)) throw new FormatError(`${where}: weight_map must be an object, got ${show(map)}`);
  const weightMap = new Map<string, string>();
  for (const [name, shard] of Object.entries(map)) {
    // A path could lead out of the checkpoint's folder.
    if (typeof shard !== "string" || !/^[^/\\:]+$/.test(shard) || /^\.+$/.test(shard)) {
      throw new FormatError(
        `${where}: weight_map ${quote(name)} must be the name of a file beside it, got ${show(shard)}`,
      );
    }
    weightMap.set(name, shard);
  }
  return weightMap;
}

function withSource(
  tensors: ReadonlyMap<string, TensorEntry<ElementType>>,
  source: Source,
): ReadonlyMap<string, CheckpointTensor> {
  return new Map([...tensors].map(([name, entry]) => [name, { ...entry, source }]));
}

async function readJson(source: Source, maxDepth: number): Promise<unknown> {
  if (source.byteLength > MAX_JSON_BYTES) {
    throw new FormatError(`${source.name}: must have at most ${MAX_JSON_BYTES} bytes, got ${source.byteLength}`);
  }
  const bytes = await readExactly(source, 0, source.byteLength);
  return parseJson(source.name, decodeText(source.name, bytes), maxDepth);
}
