// `--ops`: what each op reaches on a GPU, in bytes and in arithmetic, beside what the device does at best.
import { ConfigError, Random, trace, type Backend, type Means } from "qwen-blocks";
import type { WebGpuBackend } from "qwen-blocks/webgpu";
import { measureDevice } from "./device-limits.js";
import { DeviceWeights } from "./device-weights.js";
import type { Limits } from "./limits.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import { openDawn, openWebGpu } from "./open.js";
import { opCases, type Handle, type OpCall, type OpCase } from "./op-cases.js";
import { sizes, type SizeName } from "./op-sizes.js";
import type { BenchOptions } from "./options.js";
import { quartiles, type Quartiles } from "./quartiles.js";
import { workOf, type Work } from "./work.js";

export interface OpReport {
  readonly part: string;
  readonly name: string;
  /** Why it was not measured. */
  readonly failed?: string;
  readonly means?: Means;
  /** Of one call. */
  readonly dispatches?: number;
  /** On the device, of one call. */
  readonly microseconds?: Quartiles;
  readonly bytesPerSecond?: number;
  readonly shareOfBandwidth?: number;
  readonly flopsPerSecond?: number;
  readonly shareOfCompute?: number;
}

/** A run takes about so long, by as many calls. */
const runMilliseconds = 20;
const mostCalls = 200;

export async function measureOps(options: BenchOptions, print: (line: string) => void): Promise<object> {
  if (options.backend.name !== "webgpu") {
    throw new ConfigError(`--ops: needs --backend webgpu, got ${options.backend.name ?? "none"}`);
  }
  const gpu = await openDawn();
  await using backend = await openWebGpu(gpu);
  const size = options.size ?? sizeFor(backend);
  const limits = await measureDevice(gpu, deviceSizes[size]);
  const facts = {
    ...{ size, limits, runs: options.runs },
    backend: { name: backend.name, ...backend.info },
    machine: machineFacts(),
    library: libraryVersion(),
  };
  print(`qwen-blocks ${facts.library}\nbackend   ${showFacts(facts.backend)}\nmachine   ${showFacts(facts.machine)}`);
  print(`limits    ${showRates(limits)}; operands: ${size}; medians of ${options.runs} runs by the device's clock\n`);
  const results = await measureCases(backend, opCases(sizes[size]), { limits, runs: options.runs, print });
  return { ...facts, results };
}

interface Measuring {
  readonly limits: Limits;
  readonly runs: number;
  readonly print: (line: string) => void;
}

export async function measureCases(
  backend: WebGpuBackend,
  cases: readonly OpCase[],
  { limits, runs, print }: Measuring,
): Promise<OpReport[]> {
  const results: OpReport[] = [];
  for (const opCase of cases) {
    if (results.at(-1)?.part !== opCase.part) print(heading(opCase.part));
    const report = await measureOp(backend, opCase, limits, runs);
    results.push(report);
    print(row(report));
  }
  return results;
}

export const deviceSizes = {
  large: { copiedBytes: 2 ** 28, groups: 2 ** 14 },
  small: { copiedBytes: 2 ** 23, groups: 2 ** 6 },
} as const;

/** An adapter that says that it is none gets what it can do. */
export function sizeFor({ info }: Backend): SizeName {
  return "fallback" in info ? "small" : "large";
}

async function measureOp(backend: WebGpuBackend, opCase: OpCase, limits: Limits, runs: number): Promise<OpReport> {
  const { part, name } = opCase;
  using weights = new DeviceWeights(backend, 1);
  const calls = opCase.prepare(weights, backend, new Random(1));
  try {
    const { means, work } = lookAt(opCase, calls[0]);
    await backend.idle();
    let next = 0;
    const timed = async (count: number): Promise<{ readonly nanoseconds: number; readonly dispatches: number }> => {
      const found = await backend.profile(() => {
        for (let i = 0; i < count; i++) discard(calls[next++ % calls.length].run());
      });
      const nanoseconds = found.reduce((sum, dispatch) => sum + (dispatch.nanoseconds ?? NaN), 0) / count;
      return { nanoseconds, dispatches: found.length / count };
    };
    const { nanoseconds, dispatches } = await timed(1);
    const count = Math.min(mostCalls, Math.ceil((runMilliseconds * 1e6) / nanoseconds) || 1);
    const times: number[] = [];
    for (let run = 0; run < runs; run++) times.push((await timed(count)).nanoseconds / 1000);
    const microseconds = quartiles(times);
    const perSecond = (amount: number): number => (1e6 * amount) / microseconds.median;
    return {
      ...{ part, name, means, dispatches, microseconds },
      bytesPerSecond: perSecond(work.bytes),
      shareOfBandwidth: perSecond(work.bytes) / limits.bandwidth,
      flopsPerSecond: perSecond(work.flops),
      shareOfCompute: perSecond(work.flops) / limits.compute,
    };
  } catch (error) {
    return { part, name, failed: (error as Error).message.split("\n")[0] };
  } finally {
    for (const { inputs, targets = [] } of calls) discard([...inputs, ...targets]);
  }
}

/** By which means the op runs, and what it has to do. */
function lookAt({ op, attrs }: OpCase, { inputs, targets, run }: OpCall): { means: Means; work: Work } {
  const { result, lines } = trace(run);
  const outputs = viewsOf(targets ?? result);
  const work = workOf({ op, inputs: viewsOf(inputs), outputs, attrs });
  discard(result);
  return { means: lines[0].means, work };
}

function viewsOf(handles: readonly Handle[]) {
  return handles.map((handle) => handle?.view);
}

/** Operands may serve several calls. */
function discard(handles: readonly Handle[]): void {
  for (const handle of handles) if (handle && !handle.disposed) handle.dispose();
}

export function showRates({ bandwidth, compute }: Limits): string {
  return `${(bandwidth / 1e9).toPrecision(4)} GB/s copied, ${(compute / 1e9).toPrecision(4)} GFLOP/s of f32 multiply-adds`;
}

function heading(part: string): string {
  return line(part, ["", "dispatches", "us", "GB/s", "of copy", "GFLOP/s", "of limit"]);
}

function row({ name, failed, means, microseconds, ...report }: OpReport): string {
  if (failed !== undefined || microseconds === undefined) return `  ${name}: not measured: ${failed}`;
  const { dispatches = 0, bytesPerSecond = 0, shareOfBandwidth = 0, flopsPerSecond = 0, shareOfCompute = 0 } = report;
  return line(`  ${name}`, [
    means === "native" ? "" : (means ?? ""),
    String(Math.round(dispatches)),
    microseconds.median.toPrecision(4),
    (bytesPerSecond / 1e9).toPrecision(3),
    percent(shareOfBandwidth),
    ...(flopsPerSecond > 0 ? [(flopsPerSecond / 1e9).toPrecision(3), percent(shareOfCompute)] : ["-", "-"]),
  ]);
}

function line(name: string, cells: readonly string[]): string {
  return name.padEnd(64) + cells.map((cell) => cell.padStart(11)).join("");
}

const percent = (share: number): string => `${(100 * share).toFixed(1)}%`;
