// `--scaling`: what a token costs in decoding as experts and context grow, and with two threads. A token visits k experts, however many there
// are; of a longer context it has to read the keys and values, at the machine's bandwidth; a second thread never costs time.
import { checkConfig, disposeAll, type Backend, type Qwen3Config } from "qwen-blocks";
import { measureBandwidth } from "./limits.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { expectConfig, open, randomModel } from "./open.js";
import type { BenchOptions } from "./options.js";
import { decoded, prepare, sideOf } from "./phases.js";
import { median, quartiles, showQuartiles, type Quartiles } from "./quartiles.js";
import { alternate } from "./rounds.js";

const experts = { few: 128, many: 512 } as const;
const threadsModels = ["toy", "moe-256"] as const;
const contexts = { short: 256, long: 4096 } as const;

interface ExpertsReport {
  readonly few: number;
  readonly many: number;
  /** Milliseconds per token. */
  readonly fewMilliseconds: number;
  readonly manyMilliseconds: number;
  /** Time with many over time with few. */
  readonly ratio: Quartiles;
}

interface ContextReport {
  readonly short: number;
  readonly long: number;
  /** Milliseconds per token. */
  readonly shortMilliseconds: number;
  readonly longMilliseconds: number;
  /** Milliseconds per token, of each round. */
  readonly extra: Quartiles;
  /** Keys and values of the tokens between the two. */
  readonly extraBytes: number;
  /** Bytes per second. */
  readonly bandwidth: number;
  /** Extra time over that of streaming the extra bytes. */
  readonly ratio: Quartiles;
}

interface ThreadsReport {
  readonly model: string;
  readonly oneMilliseconds: number;
  readonly twoMilliseconds: number;
  /** How many times as fast two threads are. */
  readonly ratio: Quartiles;
}

export async function measureScaling(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { model = "moe-256", scale, rounds } = options;
  await using backend = await open(options.backend);
  const positions = contexts.long + decoded;
  const given = expectConfig(model, scale);
  const config = { ...given, maxPositionEmbeddings: Math.max(given.maxPositionEmbeddings, positions) };
  const facts = {
    model,
    scale,
    rounds,
    backend: { name: backend.name, ...backend.info },
    machine: machineFacts(),
    library: libraryVersion(),
  };
  print(`qwen-blocks ${facts.library}\nbackend   ${showFacts(facts.backend)}\nmachine   ${showFacts(facts.machine)}`);
  print(
    `decoding of ${model} at scale ${scale}, ms per token: medians of ${rounds} rounds; ratios: median (quartiles)\n`,
  );
  const byExperts = await measureExperts(backend, config, rounds);
  print(showExperts(byExperts));
  const byContext = await measureContext(backend, config, rounds);
  print(showContext(byContext));
  const byThreads: ThreadsReport[] = [];
  for (const name of backend.name === "wasm" ? threadsModels : []) {
    const report = await measureThreads(name, options);
    byThreads.push(report);
    print(showThreads(report));
  }
  return { ...facts, experts: byExperts, context: byContext, threads: byThreads };
}

async function measureExperts(backend: Backend, config: Qwen3Config, rounds: number): Promise<ExpertsReport> {
  const models = [experts.few, experts.many].map((numExperts) =>
    randomModel(backend, checkConfig({ ...config, numExperts })),
  );
  const size = { tokens: contexts.short, batch: 1 };
  using few = await prepare("decode", models[0], size);
  using many = await prepare("decode", models[1], size);
  // `ratio` is the time of the second over that of the first.
  const { ours, theirs, ratio } = await alternate(sideOf(few), sideOf(many), rounds);
  models.forEach(disposeAll);
  return { ...experts, fewMilliseconds: median(ours), manyMilliseconds: median(theirs), ratio };
}

async function measureContext(backend: Backend, config: Qwen3Config, rounds: number): Promise<ContextReport> {
  const model = randomModel(backend, config);
  using short = await prepare("decode", model, { tokens: contexts.short, batch: 1 });
  using long = await prepare("decode", model, { tokens: contexts.long, batch: 1 });
  const { ours, theirs } = await alternate(sideOf(short), sideOf(long), rounds);
  const extra = theirs.map((time, round) => time - ours[round]);
  const { numHiddenLayers, numKeyValueHeads, headDim } = config;
  const extraBytes = (contexts.long - contexts.short) * 2 * numKeyValueHeads * headDim * 4 * numHiddenLayers;
  disposeAll(model);
  const bandwidth = await measureBandwidth(backend);
  const streaming = (1000 * extraBytes) / bandwidth;
  return {
    ...contexts,
    shortMilliseconds: median(ours),
    longMilliseconds: median(theirs),
    extra: quartiles(extra),
    extraBytes,
    bandwidth,
    ratio: quartiles(extra.map((time) => time / streaming)),
  };
}

/** Each number of threads on a backend of its own, in this process: what waits is asleep. */
async function measureThreads(
  name: string,
  { backend: { build }, tokens, rounds }: BenchOptions,
): Promise<ThreadsReport> {
  const config = expectConfig(name, 1);
  await using one = await open({ name: "wasm", threads: 1, ...(build && { build }) });
  await using two = await open({ name: "wasm", threads: 2, ...(build && { build }) });
  const size = { tokens, batch: 1 };
  using alone = await prepare("decode", randomModel(one, config), size);
  using both = await prepare("decode", randomModel(two, config), size);
  const { ours, theirs, ratio } = await alternate(sideOf(both), sideOf(alone), rounds);
  return { model: name, oneMilliseconds: median(theirs), twoMilliseconds: median(ours), ratio };
}

function showThreads({ model, oneMilliseconds, twoMilliseconds, ratio }: ThreadsReport): string {
  return [
    `threads   ${model}: ${oneMilliseconds.toPrecision(4)} ms with 1, ${twoMilliseconds.toPrecision(4)} ms with 2`,
    `          speed with 2 over speed with 1: ${showQuartiles(ratio)}`,
  ].join("\n");
}

function showExperts({ few, many, fewMilliseconds, manyMilliseconds, ratio }: ExpertsReport): string {
  return [
    `experts   ${few}: ${fewMilliseconds.toPrecision(4)} ms, ${many}: ${manyMilliseconds.toPrecision(4)} ms`,
    `          time with ${many} over time with ${few}: ${showQuartiles(ratio)}`,
  ].join("\n");
}

function showContext(report: ContextReport): string {
  const { short, long, shortMilliseconds, longMilliseconds, extra, extraBytes, bandwidth, ratio } = report;
  const streaming = (1000 * extraBytes) / bandwidth;
  return [
    `context   ${short}: ${shortMilliseconds.toPrecision(4)} ms, ${long}: ${longMilliseconds.toPrecision(4)} ms`,
    `          extra: ${showQuartiles(extra)} ms; ${(extraBytes / 2 ** 20).toFixed(2)} MiB more keys and values at ` +
      `${(bandwidth / 1e9).toFixed(1)} GB/s: ${streaming.toPrecision(3)} ms`,
    `          extra time over that of streaming: ${showQuartiles(ratio)}`,
  ].join("\n");
}
