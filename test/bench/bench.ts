// `npm run bench`: tokens per second and kernel calls per token, for people or, with --json, for programs. It judges nothing.
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { BackendError, ConfigError, Qwen3, configFromJson, countParameters, disposeAll, observe } from "qwen-blocks";
import { presets, randomWeights, scaleConfig, type Backend, type Observed, type PresetName } from "qwen-blocks";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { loadModel, openCheckpoint, qwen3Names } from "qwen-blocks/io";
import { readOptions, usage, type BenchOptions, type Phase } from "./options.js";
import { prepare } from "./phases.js";

interface Measurement {
  readonly phase: Phase;
  /** Median, slowest and fastest of the runs. */
  readonly tokensPerSecond: number;
  readonly slowest: number;
  readonly fastest: number;
  readonly commandsPerToken: number;
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") console.log(usage);
  else await bench(options);
} catch (error) {
  if (!(error instanceof Error && "code" in error)) throw error;
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}

async function bench(options: BenchOptions): Promise<void> {
  await using backend = observe(await open(options));
  const model = await makeModel(backend, options);
  const { total, active } = countParameters(model.config);
  const facts = {
    model: options.model,
    scale: options.scale,
    parameters: total,
    activeParameters: active,
    tokens: options.tokens,
    runs: options.runs,
    backend: { name: backend.name, ...backend.info },
    machine: {
      processor: cpus()[0]?.model ?? "unknown",
      threads: availableParallelism(),
      system: `${process.platform} ${process.arch}`,
      node: process.versions.node,
    },
    library: version(),
  };
  if (!options.json) console.log(describe(facts));
  const results: Measurement[] = [];
  for (const phase of options.only) {
    const result = await measure(phase, model, backend, options);
    results.push(result);
    if (!options.json) console.log(row(result));
  }
  if (options.json) console.log(JSON.stringify({ ...facts, results }, undefined, 2));
  disposeAll(model);
}

async function open({ backend: name }: BenchOptions): Promise<Backend> {
  const { backend, passedOver } = await openBackend(name === undefined ? {} : { prefer: name as BackendName });
  for (const { name, reason } of passedOver) console.error(`passed over ${name}: ${reason}`);
  if (name !== undefined && backend.name !== name) throw new BackendError(`--backend: ${name} must open`);
  return backend;
}

async function makeModel(backend: Backend, { model, scale }: BenchOptions): Promise<Qwen3> {
  if (Object.hasOwn(presets, model)) {
    const config = scaleConfig(presets[model as PresetName], scale);
    return new Qwen3(randomWeights(backend, 1, config), config);
  }
  if (scale !== 1) throw new ConfigError(`--scale: must be 1 for a checkpoint, got ${scale}; it is for presets`);
  const checkpoint = await openCheckpoint(model).catch((cause: unknown) => {
    const known = Object.keys(presets).join(", ");
    const reason = (cause as Error).message;
    throw new ConfigError(`--model: must be a folder with a checkpoint or one of ${known}, got ${model} (${reason})`, {
      cause,
    });
  });
  const config = configFromJson(checkpoint.config);
  return loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
}

/** One run to warm up, then `runs` of them. */
async function measure(
  phase: Phase,
  model: Qwen3,
  backend: Observed,
  { tokens, runs }: BenchOptions,
): Promise<Measurement> {
  using measurable = await prepare(phase, model, tokens);
  const speeds: number[] = [];
  for (let i = 0; i <= runs; i++) {
    backend.reset();
    const start = performance.now();
    await measurable.run();
    if (i > 0) speeds.push((1000 * measurable.tokens) / (performance.now() - start));
  }
  speeds.sort((a, b) => a - b);
  const commands = [...backend.calls.values()].reduce((total, { count }) => total + count, 0);
  return {
    phase,
    tokensPerSecond: (speeds[(runs - 1) >> 1] + speeds[runs >> 1]) / 2,
    slowest: speeds[0],
    fastest: speeds[runs - 1],
    commandsPerToken: commands / measurable.tokens,
  };
}

interface Facts {
  readonly model: string;
  readonly scale: number;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly tokens: number;
  readonly runs: number;
  readonly backend: Readonly<Record<string, string | number>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly library: string;
}

function describe({
  model,
  scale,
  parameters,
  activeParameters,
  tokens,
  runs,
  backend,
  machine,
  library,
}: Facts): string {
  const list = (facts: Facts["backend"]): string =>
    Object.entries(facts)
      .map(([name, value]) => `${name}: ${value}`)
      .join(", ");
  return [
    `qwen-blocks ${library}`,
    `backend   ${list(backend)}`,
    `machine   ${list(machine)}`,
    `model     ${model} at scale ${scale}: ${parameters} parameters, ${activeParameters} active`,
    `          ${tokens} tokens, medians of ${runs} runs`,
    "",
    `${"".padEnd(10)}${["tokens/s", "slowest", "fastest", "ms/token", "commands/token"].map((name) => name.padStart(15)).join("")}`,
  ].join("\n");
}

function row({ phase, tokensPerSecond, slowest, fastest, commandsPerToken }: Measurement): string {
  const numbers = [tokensPerSecond, slowest, fastest, 1000 / tokensPerSecond, commandsPerToken];
  return phase.padEnd(10) + numbers.map((value) => value.toPrecision(4).padStart(15)).join("");
}

function version(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}
