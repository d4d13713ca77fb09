// How long a page's main thread was busy at a time, out of a trace of Chromium. CPU time tells the page's own doing from a machine whose
// cores others hold; the clock is for the report.

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly args: { readonly name?: string };
  /** Microseconds by the clock. */
  readonly dur?: number;
  /** Microseconds of CPU time. */
  readonly tdur?: number;
}

/** Milliseconds of the longest task of the main threads of all pages, and how many tasks there were. */
export function busiest(trace: Buffer): { readonly cpu: number; readonly wall: number; readonly tasks: number } {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: readonly TraceEvent[] };
  const threadOf = ({ pid, tid }: TraceEvent): string => `${pid}:${tid}`;
  const mains = new Set(
    traceEvents.filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain").map(threadOf),
  );
  const tasks = traceEvents.filter(
    (event) => event.ph === "X" && event.name.endsWith("RunTask") && mains.has(threadOf(event)),
  );
  const most = (key: "dur" | "tdur"): number =>
    tasks.reduce((least, task) => Math.max(least, (task[key] ?? 0) / 1000), 0);
  return { cpu: most("tdur"), wall: most("dur"), tasks: tasks.length };
}
