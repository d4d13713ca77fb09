// What the page was built with (carry.ts): a recipe, a text, and a trained checkpoint if there was one.
import { FormatError, type Qwen3Config } from "qwen-blocks";
import { configFromJson } from "qwen-blocks";
import type { Toy } from "./messages.js";

/** The file toy.json. */
export interface ToyFile {
  /** As in a checkpoint's config.json. */
  readonly config: unknown;
  readonly contextLength: number;
  readonly batchSize: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  readonly aux: number;
  readonly initializerRange: number;
  readonly documentToken: number;
  /** What text.bin holds: ids as u16, first those to learn from. */
  readonly text: string;
  readonly trainingTokens: number;
  /** Bytes of model.safetensors; 0 if there is none. */
  readonly checkpointBytes: number;
  readonly untrained?: string;
}

export interface Carried extends Omit<ToyFile, "config"> {
  readonly config: Qwen3Config;
  readonly training: Int32Array;
  readonly heldOut: Int32Array;
  readonly checkpoint: Uint8Array<ArrayBuffer> | undefined;
}

/** @param base the page's address @param onProgress told the bytes that came, of how many */
export async function fetchCarried(base: string, onProgress: (done: number, total: number) => void): Promise<Carried> {
  const file = JSON.parse(new TextDecoder().decode(await get(new URL("toy.json", base)))) as ToyFile;
  const total = file.checkpointBytes;
  const [ids, checkpoint] = await Promise.all([
    get(new URL("text.bin", base)),
    total > 0 ? get(new URL("model.safetensors", base), (done) => onProgress(done, total)) : undefined,
  ]);
  const tokens = Int32Array.from(new Uint16Array(ids.buffer));
  return {
    ...file,
    config: { ...configFromJson(file.config), initializerRange: file.initializerRange },
    training: tokens.subarray(0, file.trainingTokens),
    heldOut: tokens.subarray(file.trainingTokens),
    checkpoint,
  };
}

/** What the page needs to know of it. */
export function describe({ config, contextLength, documentToken, text, untrained }: Carried): Toy {
  return {
    vocabSize: config.vocabSize,
    contextLength,
    numLayers: config.numHiddenLayers,
    numHeads: config.numAttentionHeads,
    numExperts: config.numExperts,
    numExpertsPerTok: config.numExpertsPerTok,
    documentToken,
    text,
    untrained,
  };
}

/** @throws FormatError if the server does not give the file */
async function get(url: URL, onBytes?: (done: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(url);
  if (!response.ok || response.body === null) {
    throw new FormatError(`${url.pathname}: must be served beside the page, got status ${response.status}`);
  }
  const parts: BlobPart[] = [];
  let done = 0;
  const reader = response.body.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    done += next.value.length;
    onBytes?.(done);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
