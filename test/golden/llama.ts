// `npm run golden:llama -- DIR [FILE.gguf ...] [--backend B]`: what this library and llama.cpp (node-llama-cpp in DIR) predict behind each token
// of a random text, out of the same GGUF files; toys of its own unless files are given. Exit code 1 if they disagree.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Qwen3, Random, configFromJson, disposeAll, setActivations, type Backend } from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { loadModel, openCheckpoint, qwen3Names, type Checkpoint } from "qwen-blocks/io";
import { llamaLogits } from "./llama-logits.js";
import { toyGguf } from "./toy-gguf.js";

const usage = "usage: npm run golden:llama -- DIR [FILE.gguf ...] [--backend B]";
const positions = 300;
/** Of log-probabilities where all weights are F32. */
const mostOff = 1e-4;
/** Nats, mean over positions, where weights are packed: llama.cpp rounds activations in other places than we do, and routers near a tie. */
const mostDivergence = 1e-3;

interface Distance {
  /** Largest difference of two log-probabilities. */
  readonly off: number;
  /** Mean of the Kullback-Leibler divergences of ours from theirs. */
  readonly divergence: number;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { backend: { type: "string" } } });
  const [folder, ...files] = positionals;
  if (folder === undefined) throw new Error(usage);
  const { backend } = await openBackend({ prefer: values.backend as BackendName | undefined });
  const scratch = await mkdtemp(join(tmpdir(), "qwen-blocks-llama-"));
  const verdicts: boolean[] = [];
  try {
    for (const file of files) verdicts.push(await compareFile(backend, folder, file, file));
    if (files.length === 0) verdicts.push(...(await compareToys(backend, folder, scratch)));
  } finally {
    await rm(scratch, { recursive: true });
  }
  const agree = verdicts.filter(Boolean).length;
  console.log(`${backend.name}, ${positions} positions: ${agree} of ${verdicts.length} comparisons as they must be`);
  await backend[Symbol.asyncDispose]();
  return agree === verdicts.length ? 0 : 1;
}

/** Each type agrees; and where our file has one block's scale doubled, it does not, so that agreement means something. */
async function compareToys(backend: Backend, folder: string, scratch: string): Promise<boolean[]> {
  const verdicts: boolean[] = [];
  for (const type of ["F32", "Q8_0", "Q4_0"] as const) {
    const file = join(scratch, `toy-${type}.gguf`);
    await writeFile(file, toyGguf(type));
    verdicts.push(await compareFile(backend, folder, file, file));
    if (type === "F32") continue;
    const wrong = join(scratch, `toy-${type}-one-scale-doubled.gguf`);
    await writeFile(wrong, toyGguf(type, true));
    verdicts.push(await compareFile(backend, folder, wrong, file, false));
  }
  return verdicts;
}

/** @returns whether the two agree just if they must */
async function compareFile(
  backend: Backend,
  folder: string,
  ours: string,
  theirs: string,
  must = true,
): Promise<boolean> {
  const checkpoint = await openCheckpoint(ours);
  const packed = [...checkpoint.tensors.values()].some(({ dtype }) => dtype.startsWith("Q"));
  const { vocabSize } = configFromJson(checkpoint.config);
  const random = new Random(1);
  const ids = Array.from({ length: positions }, () => random.integer(vocabSize));
  const expected = await llamaLogits(folder, theirs, ids);
  const { off, divergence } = distance(await ourLogits(backend, checkpoint, ids), expected);
  const agrees = packed ? divergence < mostDivergence : off <= mostOff;
  const verdict = `${agrees === must ? "ok   " : "WRONG"} ${ours} ${agrees ? "agrees" : "disagrees"}`;
  const limit = packed ? `divergence below ${mostDivergence}` : `off by at most ${mostOff}`;
  console.log(
    `${verdict}: log-probabilities off by ${off.toExponential(2)}, mean divergence ${divergence.toExponential(2)}; to agree: ${limit}`,
  );
  return agrees === must;
}

/** As llama.cpp computes with packed weights, activations are rounded first. */
async function ourLogits(backend: Backend, checkpoint: Checkpoint, ids: readonly number[]): Promise<Float32Array[]> {
  const config = configFromJson(checkpoint.config);
  const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
  setActivations(model, "q8");
  using logits = model.forward([ids]);
  const all = (await logits.data()) as Float32Array;
  disposeAll(model);
  return ids.map((_, position) => all.subarray(position * config.vocabSize, (position + 1) * config.vocabSize));
}

function distance(ours: readonly Float32Array[], theirs: readonly Float32Array[]): Distance {
  const distances = theirs.map((row, position) => {
    const [p, q] = [logProbabilities(row), logProbabilities(ours[position])];
    const off = p.reduce((most, value, id) => Math.max(most, Math.abs(value - q[id])), 0);
    return { off, divergence: p.reduce((sum, value, id) => sum + Math.exp(value) * (value - q[id]), 0) };
  });
  return {
    off: Math.max(...distances.map(({ off }) => off)),
    divergence: distances.reduce((sum, { divergence }) => sum + divergence, 0) / distances.length,
  };
}

function logProbabilities(logits: Float32Array): Float64Array {
  const top = logits.reduce((a, b) => Math.max(a, b));
  const logSum = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
  return Float64Array.from(logits, (logit) => logit - top - logSum);
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
