// Decodes with the whole of 15B-A2B, or the model at a scale. Its random Q4_0 weights are made on the device.
import { DeviceWeights } from "../../bench/device-weights.js";
import { measureDevice } from "../../bench/device-limits.js";
import { deviceSizes, showRates, sizeFor } from "../../bench/measure-ops.js";
import { openDawn, openWebGpu } from "../../bench/open.js";
import { median } from "../../bench/quartiles.js";
import { Qwen3, Random, allParameters, countParameters, disposeAll, fill, generate, presets } from "qwen-blocks";
import { scaleConfig, setActivations, weightsFrom } from "qwen-blocks";
import type { Activations, Backend, Qwen3Config } from "qwen-blocks";
import { schemes } from "qwen-blocks/quant";
import type { WebGpuBackend } from "qwen-blocks/webgpu";
import type { Part, Print } from "./step.js";

const preset = "qwen3-15b-a2b";
/** Tokens of prompts, for the whole model. */
const prompts = { short: 32, long: 512 } as const;
/** Tokens that are decoded before those that count. */
const warmUp = 4;
/** Tokens whose dispatches are timed. */
const profiled = 2;

export const decode: Part = async ({ scale, tokens, size }, print) => {
  const gpu = await openDawn();
  await using backend = await openWebGpu(gpu);
  const limits = await measureDevice(gpu, deviceSizes[size ?? sizeFor(backend)]);
  const config = scaled(scale);
  const { total, active } = countParameters(config);
  print(`${backend.info.adapter}: ${showRates(limits)}`);
  print(`${preset} at scale ${scale}: ${config.numHiddenLayers} layers, ${total} parameters, ${active} active`);
  const start = performance.now();
  const model = randomModel(backend, config);
  await backend.idle();
  const setup = (performance.now() - start) / 1000;
  const { bytes } = backend.memory.usage();
  print(`${(bytes / 1e9).toPrecision(4)} GB of weights made in ${setup.toFixed(1)} s`);
  const results: object[] = [];
  for (const activations of ["q8", "f32"] as const) {
    setActivations(model, activations);
    print(`\nactivations ${activations}`);
    const [short, long] = Object.values(prompts).map((length) =>
      promptOf(config, Math.max(4, Math.ceil(length * scale))),
    );
    for (const prompt of [short, long]) results.push(await prefill(model, activations, prompt, print));
    const { bandwidth } = limits;
    results.push(await decoding(backend, model, activations, { prompt: short, tokens, bandwidth, print }));
  }
  disposeAll(model);
  return { backend: backend.info, limits, scale, config, parameters: total, active, bytes, setup, results };
};

function scaled(scale: number): Qwen3Config {
  const config = presets[preset];
  if (scale === 1) return config;
  const vocabSize = Math.ceil(config.vocabSize * scale);
  return scaleConfig(config, scale, { vocabSize, bosTokenId: undefined, eosTokenId: undefined });
}

/** Matrices are q4_0, routers and norms f32. */
function randomModel(backend: Backend, config: Qwen3Config): Qwen3 {
  using drawn = new DeviceWeights(backend, 1);
  const weights = weightsFrom(backend, (path, shape, init) => {
    if (init !== "normal") return fill(backend, shape, init === "ones" ? 1 : 0);
    const router = path.endsWith(".gate.weight");
    return drawn.matrix(shape, { std: config.initializerRange, ...(!router && { scheme: schemes.q4_0 }) });
  });
  return new Qwen3(weights, config);
}

function promptOf({ vocabSize }: Qwen3Config, length: number): Int32Array {
  const random = new Random(1);
  return Int32Array.from({ length }, () => random.integer(vocabSize));
}

async function prefill(model: Qwen3, activations: Activations, prompt: Int32Array, print: Print): Promise<object> {
  const tokens = prompt.length;
  using cache = model.makeCache({ maxLength: tokens, capacity: tokens });
  const times: number[] = [];
  let finite = true;
  for (let run = 0; run < 3; run++) {
    cache.truncateTo(0);
    const start = performance.now();
    using logits = model.forward([prompt], { cache, logits: "last" });
    const numbers = (await logits.data()) as Float32Array;
    times.push(performance.now() - start);
    finite &&= numbers.every(Number.isFinite) && new Set(numbers.subarray(0, 100)).size > 1;
  }
  const [first, ...rest] = times;
  const milliseconds = median(rest);
  const speed = ((1000 * tokens) / milliseconds).toPrecision(4);
  print(
    `prefill of ${tokens} tokens: ${milliseconds.toPrecision(4)} ms, ${speed} tokens/s (the first time ${first.toPrecision(4)} ms)`,
  );
  if (!finite) print("  the logits are not finite, or all the same");
  return { phase: "prefill", activations, tokens, milliseconds, first, finite };
}

interface Decoding {
  readonly prompt: Int32Array;
  readonly tokens: number;
  /** Of a copy, in bytes per second. */
  readonly bandwidth: number;
  readonly print: Print;
}

/** Greedy decoding behind a short prompt, each token read by the host before the next. */
async function decoding(
  backend: WebGpuBackend,
  model: Qwen3,
  activations: Activations,
  { prompt, tokens, bandwidth, print }: Decoding,
): Promise<object> {
  const maxLength = prompt.length + Math.max(tokens, warmUp) + 1;
  using cache = model.makeCache({ maxLength, capacity: maxLength });
  const textOf = (count: number): AsyncGenerator<number> => {
    cache.truncateTo(0);
    return generate(model, prompt, { maxNewTokens: count, temperature: 0, cache });
  };
  /** Milliseconds of each token behind the first, which the prompt makes. */
  const timesOf = async (count: number): Promise<number[]> => {
    const times: number[] = [];
    let last = performance.now();
    for await (const _ of textOf(count + 1)) {
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    return times.slice(1);
  };
  await timesOf(warmUp);
  const before = backend.counters();
  const times = await timesOf(tokens);
  const after = backend.counters();
  const total = times.reduce((sum, time) => sum + time, 0);
  const tokensPerSecond = (1000 * tokens) / total;
  const bytes = bytesPerToken(model, prompt.length + tokens / 2);
  const share = (bytes * tokensPerSecond) / bandwidth;
  print(
    `decoding of ${tokens} tokens: ${tokensPerSecond.toPrecision(4)} tokens/s; a token ${median(times).toPrecision(4)} ms (median)`,
  );
  print(
    `  ${(bytes / 1e9).toPrecision(4)} GB a token: ${((bytes * tokensPerSecond) / 1e9).toPrecision(4)} GB/s, ${(100 * share).toFixed(1)}% of a copy's`,
  );
  const reads = (after.reads - before.reads) / (tokens + 1);
  const submits = (after.submits - before.submits) / (tokens + 1);
  const ops = await profileOf(backend, textOf(2 + profiled));
  const device = ops.reduce((sum, { microseconds }) => sum + microseconds, 0) / 1000;
  const dispatches = ops.reduce((sum, op) => sum + op.dispatches, 0);
  print(
    `  ${dispatches} dispatches, ${reads.toPrecision(3)} reads, ${submits.toPrecision(3)} submits a token; ` +
      `${device.toPrecision(4)} ms of a token in kernels`,
  );
  for (const { op, dispatches, microseconds } of ops)
    print(`    ${op.padEnd(16)}${String(dispatches).padStart(6)}${microseconds.toFixed(1).padStart(12)} us`);
  return {
    ...{ phase: "decode", activations, tokens, tokensPerSecond, times, bytesPerToken: bytes, shareOfBandwidth: share },
    ...{ dispatches, reads, submits, ops },
  };
}

/** Weights that a token reads, each once, and the keys and values behind it. */
function bytesPerToken(model: Qwen3, held: number): number {
  const { numExperts, numExpertsPerTok, numHiddenLayers, numKeyValueHeads, headDim } = model.config;
  let bytes = 8 * numHiddenLayers * held * numKeyValueHeads * headDim;
  for (const [path, { byteLength }] of allParameters(model)) {
    if (path.startsWith("embedTokens.") && model.lmHead) continue; // a row of it
    bytes += path.includes(".experts.") ? (byteLength * numExpertsPerTok) / numExperts : byteLength;
  }
  return bytes;
}

interface OpOfToken {
  readonly op: string;
  readonly dispatches: number;
  readonly microseconds: number;
}

/** Of one token behind the first, which the prompt makes, and the second, which is recorded; on average. */
async function profileOf(backend: WebGpuBackend, text: AsyncGenerator<number>): Promise<OpOfToken[]> {
  for (let token = 0; token < 2; token++) await text.next();
  const found = await backend.profile(async () => {
    for (let token = 0; token < profiled; token++) await text.next();
  });
  await text.return(undefined);
  const sums = new Map<string, { dispatches: number; microseconds: number }>();
  for (const { op, nanoseconds = NaN } of found) {
    const sum = sums.get(op) ?? { dispatches: 0, microseconds: 0 };
    sum.dispatches += 1 / profiled;
    sum.microseconds += nanoseconds / 1000 / profiled;
    sums.set(op, sum);
  }
  return Array.from(sums, ([op, sum]) => ({ op, ...sum })).sort((a, b) => b.microseconds - a.microseconds);
}
