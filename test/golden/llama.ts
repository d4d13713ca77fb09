// `npm run golden:llama -- DIR [FILE.gguf ...] [--backend B]`: what this library and llama.cpp (node-llama-cpp in DIR) predict behind each token
// of a random text, out of the same GGUF files; toys of its own unless files are given. Exit code 1 if they disagree.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  generate,
  Qwen3,
  Random,
  reshape,
  configFromJson,
  disposeAll,
  setActivations,
  type ActivationRounding,
  type Activations,
  type Backend,
} from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { loadModel, openCheckpoint, qwen3Names, type Checkpoint } from "qwen-blocks/io";
import { fakeQuant, int8 } from "qwen-blocks/quant";
import { llamaLogits } from "./llama-logits.js";
import { toyGguf } from "./toy-gguf.js";
import { packedTypes, writeGguf, writtenConfigs } from "./written-gguf.js";

/** Of a model of {@link compareWritten}: prompts to choose from, their tokens, and those that follow. */
const [prompts, promptTokens, newTokens] = [16, 8, 16];

const usage = "usage: npm run golden:llama -- DIR [FILE.gguf ...] [--backend B]";
const positions = 300;
/** Of log-probabilities where all weights are F32. */
const mostOff = 1e-4;
/** Nats, median over positions, where weights are packed: a sum's last bit turns a rounded input, or at a few positions a router near a tie. */
const mostDivergence = 1e-3;

interface Distance {
  /** Largest difference of two log-probabilities. */
  readonly off: number;
  /** Median of the Kullback-Leibler divergences of ours from theirs. */
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
    if (files.length === 0) {
      verdicts.push(...(await compareToys(backend, folder, scratch)));
      verdicts.push(...(await compareWritten(backend, folder, scratch)));
    }
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

/** Files of our own writer, in every type: the same probabilities and the same greedy text. */
async function compareWritten(backend: Backend, folder: string, scratch: string): Promise<boolean[]> {
  const verdicts: boolean[] = [];
  for (const [name, config] of Object.entries(writtenConfigs)) {
    const types = name === "dense" || name === "sparse" ? ["f32", ...packedTypes] : ["f32"];
    for (const type of types) {
      const file = join(scratch, `${name}-${type}.gguf`);
      await writeGguf(backend, config, type, file);
      verdicts.push(await compareFile(backend, folder, file, file));
      verdicts.push(await compareText(backend, folder, file));
    }
  }
  return verdicts;
}

/** Greedy tokens, behind that prompt whose text is least in doubt: a near tie goes either way by the last bit of a sum. */
async function compareText(backend: Backend, folder: string, file: string): Promise<boolean> {
  const checkpoint = await openCheckpoint(file);
  const model = await ourModel(backend, checkpoint);
  const random = new Random(2);
  let best = { ids: [] as number[], gap: -1 };
  for (let i = 0; i < prompts; i++) {
    const ids = Array.from({ length: promptTokens }, () => random.integer(model.config.vocabSize));
    for await (const id of generate(model, ids, { maxNewTokens: newTokens, temperature: 0 })) ids.push(id);
    const rows = (await logitsOf(model, ids)).slice(promptTokens - 1, -1);
    const gap = Math.min(...rows.map(([...row]) => row.sort((a, b) => b - a)[0] - row[1]));
    if (gap > best.gap) best = { ids, gap };
  }
  disposeAll(model);
  const theirs = (await llamaLogits(folder, file, best.ids)).map((row) => row.indexOf(Math.max(...row)));
  const same = best.ids.slice(promptTokens).every((id, i) => theirs[promptTokens - 1 + i] === id);
  console.log(
    `${same ? "ok   " : "WRONG"} ${file}: ${newTokens} greedy tokens, none nearer to another than ${best.gap.toFixed(2)}`,
  );
  return same;
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
  const packed = [...checkpoint.tensors.values()].some(({ dtype }) => dtype !== "F32");
  const { vocabSize } = configFromJson(checkpoint.config);
  const random = new Random(1);
  const ids = Array.from({ length: positions }, () => random.integer(vocabSize));
  const expected = await llamaLogits(folder, theirs, ids);
  const model = await ourModel(backend, checkpoint);
  const { off, divergence } = distance(await logitsOf(model, ids), expected);
  disposeAll(model);
  const agrees = packed ? divergence < mostDivergence : off <= mostOff;
  const verdict = `${agrees === must ? "ok   " : "WRONG"} ${ours} ${agrees ? "agrees" : "disagrees"}`;
  const limit = packed ? `divergence below ${mostDivergence}` : `off by at most ${mostOff}`;
  console.log(
    `${verdict}: log-probabilities off by ${off.toExponential(2)}, median divergence ${divergence.toExponential(2)}; to agree: ${limit}`,
  );
  return agrees === must;
}

async function ourModel(backend: Backend, checkpoint: Checkpoint): Promise<Qwen3> {
  const config = configFromJson(checkpoint.config);
  const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
  setActivations(model, activationsFor(checkpoint));
  return model;
}

/** llama.cpp rounds the inputs of K-quants in blocks of 256, those of all others in blocks of 32. */
function activationsFor({ tensors }: Checkpoint): Activations | ActivationRounding {
  const inK = [...tensors.values()].some(({ dtype }) => dtype.endsWith("_K"));
  return inK ? { forward: (x) => reshape(fakeQuant(reshape(x, [x.size / 256, 256]), int8()), x.shape) } : "q8";
}

async function logitsOf(model: Qwen3, ids: readonly number[]): Promise<Float32Array[]> {
  const { vocabSize } = model.config;
  using logits = model.forward([ids]);
  const all = (await logits.data()) as Float32Array;
  return ids.map((_, position) => all.subarray(position * vocabSize, (position + 1) * vocabSize));
}

function distance(ours: readonly Float32Array[], theirs: readonly Float32Array[]): Distance {
  const distances = theirs.map((row, position) => {
    const [p, q] = [logProbabilities(row), logProbabilities(ours[position])];
    const off = p.reduce((most, value, id) => Math.max(most, Math.abs(value - q[id])), 0);
    return { off, divergence: p.reduce((sum, value, id) => sum + Math.exp(value) * (value - q[id]), 0) };
  });
  return {
    off: Math.max(...distances.map(({ off }) => off)),
    divergence: distances.map(({ divergence }) => divergence).sort((a, b) => a - b)[distances.length >> 1],
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
