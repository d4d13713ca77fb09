// Tokens per second and kernel calls per token of each phase, and with --profile where the time went.
import { countParameters, disposeAll, observe, type Backend, type Observed, type Qwen3 } from "qwen-blocks";
import type { WebGpuBackend, WebGpuCounters } from "qwen-blocks/webgpu";
import { measureDevice } from "./device-limits.js";
import { measureLimits, type Limits } from "./limits.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { deviceSizes, sizeFor } from "./measure-ops.js";
import { isWebGpu, open, openDawn, openModel, openWebGpu } from "./open.js";
import type { BenchOptions } from "./options.js";
import { prepare, type Phase } from "./phases.js";
import { Profile, showLimits, showProfile, type ProfileReport } from "./profile.js";
import { median } from "./quartiles.js";

interface Measurement {
  readonly phase: Phase;
  /** Median, slowest and fastest of the runs. */
  readonly tokensPerSecond: number;
  readonly slowest: number;
  readonly fastest: number;
  readonly commandsPerToken: number;
  /** Of the last run, on a GPU. */
  readonly device?: DeviceCounts;
  readonly profile?: ProfileReport;
}

/** Per token. */
interface DeviceCounts {
  readonly dispatches: number;
  readonly submits: number;
  readonly reads: number;
}

/** What is profiled, and against which limits. */
interface Profiling {
  readonly profile: Profile;
  readonly limits: Limits;
}

export async function measurePhases(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { model: name = "toy", scale, tokens, batch, runs } = options;
  const profile = new Profile();
  const dawn = options.backend.name === "webgpu" ? await openDawn() : undefined;
  const opened = dawn ? await openWebGpu(dawn) : await open(options.backend);
  await using backend = observe(opened, options.profile ? { onCommand: profile.add } : {});
  const profiling = options.profile ? { profile, limits: await limitsOf(opened, dawn) } : undefined;
  const model = await openModel(backend, name, scale);
  const { total, active } = countParameters(model.config);
  const facts = {
    model: name,
    scale,
    parameters: total,
    activeParameters: active,
    tokens,
    batch,
    runs,
    backend: { name: backend.name, ...backend.info },
    machine: machineFacts(),
    library: libraryVersion(),
    ...(profiling && { limits: profiling.limits }),
  };
  print(describe(facts));
  if (profiling) print(`${showLimits(profiling.limits)}\n`);
  print(
    ["tokens/s", "slowest", "fastest", "ms/token", "commands/token"]
      .map((head) => head.padStart(15))
      .join("")
      .padStart(85),
  );
  const results: Measurement[] = [];
  for (const phase of options.only) {
    const gpu = isWebGpu(opened) ? opened : undefined;
    const result = await measure(phase, model, backend, options, profiling, gpu);
    results.push(result);
    print(row(result));
    if (result.profile) print(showProfile(result.profile));
  }
  disposeAll(model);
  return { ...facts, results };
}

/** On a GPU, what its device does at best; else what the backend's own products reach. */
function limitsOf(backend: Backend, dawn: GPU | undefined): Promise<Limits> {
  return dawn ? measureDevice(dawn, deviceSizes[sizeFor(backend)]) : measureLimits(backend);
}

/** One run to warm up, then `runs` of them. */
async function measure(
  phase: Phase,
  model: Qwen3,
  backend: Observed,
  { tokens, batch, runs }: BenchOptions,
  profiling: Profiling | undefined,
  gpu: WebGpuBackend | undefined,
): Promise<Measurement> {
  using measurable = await prepare(phase, model, { tokens, batch });
  const times: number[] = [];
  let before = gpu?.counters();
  await measurable.run();
  profiling?.profile.start();
  const runAll = async (): Promise<void> => {
    for (let i = 0; i < runs; i++) {
      backend.reset();
      before = gpu?.counters();
      const start = performance.now();
      await measurable.run();
      times.push(performance.now() - start);
    }
  };
  const dispatches = profiling && gpu ? await gpu.profile(runAll) : await runAll();
  const together = times.reduce((total, time) => total + time, 0);
  const profile = profiling?.profile.finish(runs, together, profiling.limits, dispatches ?? undefined);
  const speeds = times.map((time) => (1000 * measurable.tokens) / time);
  const commands = [...backend.calls.values()].reduce((total, { count }) => total + count, 0);
  return {
    phase,
    tokensPerSecond: median(speeds),
    slowest: Math.min(...speeds),
    fastest: Math.max(...speeds),
    commandsPerToken: commands / measurable.tokens,
    ...(gpu && before && { device: countsSince(before, gpu, measurable.tokens) }),
    ...(profile && { profile }),
  };
}

function countsSince(before: WebGpuCounters, gpu: WebGpuBackend, tokens: number): DeviceCounts {
  const now = gpu.counters();
  const perToken = (what: keyof DeviceCounts): number => (now[what] - before[what]) / tokens;
  return { dispatches: perToken("dispatches"), submits: perToken("submits"), reads: perToken("reads") };
}

interface Facts {
  readonly model: string;
  readonly scale: number;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly tokens: number;
  readonly batch: number;
  readonly runs: number;
  readonly backend: Readonly<Record<string, string | number>>;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly library: string;
}

function describe(facts: Facts): string {
  const { model, scale, parameters, activeParameters, tokens, batch, runs, backend, machine, library } = facts;
  return [
    `qwen-blocks ${library}`,
    `backend   ${showFacts(backend)}`,
    `machine   ${showFacts(machine)}`,
    `model     ${model} at scale ${scale}: ${parameters} parameters, ${activeParameters} active`,
    `          ${tokens} tokens, training in ${batch} rows, medians of ${runs} runs`,
  ].join("\n");
}

function row({ phase, tokensPerSecond, slowest, fastest, commandsPerToken, device }: Measurement): string {
  const numbers = [tokensPerSecond, slowest, fastest, 1000 / tokensPerSecond, commandsPerToken];
  const named = Object.entries<number>({ ...device });
  const counts = named.map(([what, count]) => `${count.toPrecision(3)} ${what}`).join(", ");
  const line = phase.padEnd(10) + numbers.map((value) => value.toPrecision(4).padStart(15)).join("");
  return device ? `${line}\n          per token ${counts}` : line;
}
