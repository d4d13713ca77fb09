// `--packed`: decoding with the weights of one random model as bf16, q8_0 and q4_0. A token reads each active weight once, so bf16 is held
// against the machine's bandwidth and the others against bf16. And the time to the first token behind long prompts.
import { checkConfig, countParameters, disposeAll, type Backend, type Qwen3, type Qwen3Config } from "qwen-blocks";
import { packModel } from "qwen-blocks/quant";
import { prepareStreaming, streamedBytes } from "./limits.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { expectConfig, open, randomModel } from "./open.js";
import type { BenchOptions } from "./options.js";
import { prepare, sideOf } from "./phases.js";
import { median, quartiles, showQuartiles, type Quartiles } from "./quartiles.js";
import { alternate, takeTurn } from "./rounds.js";

const prompts = [1024, 8192, 32_768] as const;
const smaller = ["q8_0", "q4_0"] as const;

interface BandwidthReport {
  /** Of the weights that a token reads. */
  readonly bytes: number;
  readonly millisecondsPerToken: number;
  /** Bytes per second, of the median round. */
  readonly reached: number;
  readonly bandwidth: number;
  readonly share: Quartiles;
}

interface SchemeReport {
  readonly scheme: string;
  readonly millisecondsPerToken: number;
  /** How many times as fast as bf16. */
  readonly ratio: Quartiles;
}

export async function measurePacked(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { model: name = "dense-1024", scale, tokens, rounds, only } = options;
  await using backend = await open(options.backend);
  const given = expectConfig(name, scale);
  const longest = Math.max(...prompts);
  const config = checkConfig({ ...given, maxPositionEmbeddings: Math.max(given.maxPositionEmbeddings, longest) });
  const { total, active } = countParameters(config);
  const facts = {
    ...{ model: name, scale, parameters: total, activeParameters: active, tokens, rounds },
    backend: { name: backend.name, ...backend.info },
    machine: machineFacts(),
    library: libraryVersion(),
  };
  print(`qwen-blocks ${facts.library}\nbackend   ${showFacts(facts.backend)}\nmachine   ${showFacts(facts.machine)}`);
  print(`model     ${name} at scale ${scale}: ${total} parameters, ${active} active`);
  print(`          medians of ${rounds} rounds; ratios: median (quartiles)\n`);
  const results: object[] = [];
  if (only.includes("decode")) {
    const model = await packed(backend, config, "bf16");
    const bandwidth = await measureBandwidth(backend, model, 2 * active, options);
    print(showBandwidth(bandwidth));
    results.push(bandwidth);
    for (const scheme of smaller) {
      const report = await measureScheme(backend, model, scheme, options);
      print(showScheme(report));
      results.push(report);
    }
    disposeAll(model);
  }
  if (only.includes("prefill")) {
    const model = await packed(backend, config, "q4_0");
    for (const prompt of prompts) {
      const milliseconds = await timeToFirstToken(model, prompt);
      print(`prompt    ${prompt} tokens, q4_0: ${(milliseconds / 1000).toPrecision(3)} s to the first token, one run`);
      results.push({ prompt, milliseconds });
    }
    disposeAll(model);
  }
  return { ...facts, results };
}

/** Of the same numbers each time. Integers get integer products. */
async function packed(backend: Backend, config: Qwen3Config, scheme: string): Promise<Qwen3> {
  const model = randomModel(backend, config);
  await packModel(model, { scheme, activations: scheme === "bf16" ? "f32" : "q8" });
  return model;
}

async function measureBandwidth(
  backend: Backend,
  model: Qwen3,
  bytes: number,
  { tokens, rounds }: BenchOptions,
): Promise<BandwidthReport> {
  using decoding = await prepare("decode", model, { tokens, batch: 1 });
  using streaming = prepareStreaming(backend);
  const stream = { turn: () => takeTurn(() => streaming.run()) };
  const { ours, theirs } = await alternate(sideOf(decoding), stream, rounds);
  const share = ours.map((time, round) => bytes / time / (streamedBytes / theirs[round]));
  return {
    bytes,
    millisecondsPerToken: median(ours),
    reached: (1000 * bytes) / median(ours),
    bandwidth: (1000 * streamedBytes) / median(theirs),
    share: quartiles(share),
  };
}

async function measureScheme(
  backend: Backend,
  bf16: Qwen3,
  scheme: string,
  { tokens, rounds }: BenchOptions,
): Promise<SchemeReport> {
  const model = await packed(backend, bf16.config, scheme);
  using own = await prepare("decode", model, { tokens, batch: 1 });
  using other = await prepare("decode", bf16, { tokens, batch: 1 });
  const { ours, ratio } = await alternate(sideOf(own), sideOf(other), rounds);
  disposeAll(model);
  return { scheme, millisecondsPerToken: median(ours), ratio };
}

async function timeToFirstToken(model: Qwen3, tokens: number): Promise<number> {
  using prefill = await prepare("prefill", model, { tokens, batch: 1 });
  const start = performance.now();
  await prefill.run();
  return performance.now() - start;
}

function showBandwidth({ bytes, millisecondsPerToken, reached, bandwidth, share }: BandwidthReport): string {
  return [
    `bf16      ${millisecondsPerToken.toPrecision(4)} ms per token, ${(bytes / 2 ** 20).toFixed(0)} MiB of weights: ` +
      `${(reached / 1e9).toFixed(1)} of ${(bandwidth / 1e9).toFixed(1)} GB/s`,
    `          share of the bandwidth: ${showQuartiles(share)}`,
  ].join("\n");
}

function showScheme({ scheme, millisecondsPerToken, ratio }: SchemeReport): string {
  return `${scheme.padEnd(10)}${millisecondsPerToken.toPrecision(4)} ms per token; times as fast as bf16: ${showQuartiles(ratio)}`;
}
