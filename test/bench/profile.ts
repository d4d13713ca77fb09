// Where the time of some runs went, op by op, beside what the machine can do.
import type { Command, OpName } from "qwen-blocks";
import type { ProfiledDispatch } from "qwen-blocks/webgpu";
import type { Limits } from "./limits.js";
import { workOf } from "./work.js";

/** Of one op; counts and times are those of one run. */
export interface OpProfile {
  readonly op: OpName;
  readonly calls: number;
  readonly milliseconds: number;
  /** Of the time of the run. */
  readonly share: number;
  readonly bytesPerSecond: number;
  readonly shareOfBandwidth: number;
  readonly flopsPerSecond: number;
  readonly shareOfCompute: number;
}

export interface ProfileReport {
  readonly milliseconds: number;
  readonly ops: readonly OpProfile[];
  readonly outsideKernels: { readonly milliseconds: number; readonly share: number };
}

/** Keeps commands as they come and looks at them afterwards, so that profiling hardly shows in what it measures. */
export class Profile {
  readonly #commands: Command[] = [];
  readonly #milliseconds: number[] = [];
  #live = false;

  readonly add = (command: Command, milliseconds: number): void => {
    if (!this.#live) return;
    this.#commands.push(command);
    this.#milliseconds.push(milliseconds);
  };

  start(): void {
    this.#live = true;
  }

  /**
   * What came since `start`, in `runs` runs of `total` milliseconds together; then forgets it.
   * @param dispatches their times by a device's clock, which count in place of the host's
   */
  finish(runs: number, total: number, limits: Limits, dispatches?: readonly ProfiledDispatch[]): ProfileReport {
    this.#live = false;
    const sums = new Map<OpName, { calls: number; milliseconds: number; flops: number; bytes: number }>();
    for (const [i, command] of this.#commands.entries()) {
      const sum = sums.get(command.op) ?? { calls: 0, milliseconds: 0, flops: 0, bytes: 0 };
      const { flops, bytes } = workOf(command);
      sum.calls++;
      if (!dispatches) sum.milliseconds += this.#milliseconds[i];
      sum.flops += flops;
      sum.bytes += bytes;
      sums.set(command.op, sum);
    }
    for (const { op, nanoseconds = NaN } of dispatches ?? []) {
      const sum = sums.get(op as OpName);
      if (sum) sum.milliseconds += nanoseconds / 1e6;
    }
    this.#commands.length = 0;
    this.#milliseconds.length = 0;
    const ops = Array.from(sums, ([op, { calls, milliseconds, flops, bytes }]): OpProfile => {
      const seconds = milliseconds / 1000;
      return {
        op,
        calls: calls / runs,
        milliseconds: milliseconds / runs,
        share: milliseconds / total,
        bytesPerSecond: bytes / seconds,
        shareOfBandwidth: bytes / seconds / limits.bandwidth,
        flopsPerSecond: flops / seconds,
        shareOfCompute: flops / seconds / limits.compute,
      };
    }).sort((a, b) => b.milliseconds - a.milliseconds);
    const outside = total - ops.reduce((sum, { milliseconds }) => sum + milliseconds * runs, 0);
    return {
      milliseconds: total / runs,
      ops,
      outsideKernels: { milliseconds: outside / runs, share: outside / total },
    };
  }
}

export function showLimits({ bandwidth, compute }: Limits): string {
  return `limits    ${(bandwidth / 1e9).toFixed(1)} GB/s streamed, ${(compute / 1e9).toFixed(1)} GFLOP/s of a large product`;
}

export function showProfile({ milliseconds, ops, outsideKernels }: ProfileReport): string {
  const heads = ["calls", "ms", "of time", "GB/s", "of limit", "GFLOP/s", "of limit"];
  const line = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(18)}${cells.map((cell) => cell.padStart(10)).join("")}`;
  const rows = ops.map((op) =>
    line(op.op, [
      Number(op.calls.toFixed(1)).toString(),
      op.milliseconds.toFixed(3),
      percent(op.share),
      (op.bytesPerSecond / 1e9).toFixed(2),
      percent(op.shareOfBandwidth),
      ...(op.flopsPerSecond > 0 ? [(op.flopsPerSecond / 1e9).toFixed(2), percent(op.shareOfCompute)] : ["-", "-"]),
    ]),
  );
  const { milliseconds: outside, share } = outsideKernels;
  return [
    line("one run", heads),
    ...rows,
    line("outside kernels", ["", outside.toFixed(3), percent(share)]),
    line("together", ["", milliseconds.toFixed(3), percent(1)]),
    "",
  ].join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}
