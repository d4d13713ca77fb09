// Which ops a function runs, with shapes, by which means and for how long: a kernel writer's first tool.
import { ambient, type AnyHandle, type Means } from "./ambient.js";

/** One op call. Ops inside a composite follow their caller with a greater depth. */
export interface TraceLine {
  readonly depth: number;
  readonly op: string;
  /** Operand forms, such as `f32[2,3]` or `q8_0[64,64]`. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attrs: Readonly<Record<string, unknown>>;
  readonly means: Means;
  /** Host time; on devices that queue work, the time to enqueue. */
  readonly milliseconds: number;
}

/** Which of several ways to compute the same was taken, such as `attention: auto picks flash`. */
export interface TraceChoice {
  readonly depth: number;
  /** How many lines came before. */
  readonly line: number;
  readonly text: string;
}

export interface Trace<T> {
  readonly result: T;
  readonly lines: readonly TraceLine[];
  readonly choices: readonly TraceChoice[];
  /** How many calls ran natively, were composed, or were composed after their kernel declined, by op. */
  readonly counts: Readonly<Record<string, Readonly<Record<Means, number>>>>;
  toString(): string;
}

/** Runs `fn` and lists every op call it makes, and every choice. */
export function trace<T>(fn: () => T): Trace<T> {
  const lines: TraceLine[] = [];
  const choices: TraceChoice[] = [];
  let depth = 0;
  const watcher = {
    chose(text: string) {
      choices.push({ depth, line: lines.length, text });
    },
    began(op: string, inputs: readonly AnyHandle[], attrs: Readonly<Record<string, unknown>>) {
      const at = lines.length;
      const line = {
        depth: depth++,
        op,
        inputs: forms(inputs),
        outputs: [] as string[],
        attrs,
        means: "native" as Means,
        milliseconds: 0,
      };
      lines.push(line);
      const start = performance.now();
      return (means: Means, outputs: readonly AnyHandle[]): void => {
        depth = line.depth;
        lines[at] = { ...line, outputs: forms(outputs), means, milliseconds: performance.now() - start };
      };
    },
  };
  ambient.watchers.push(watcher);
  try {
    const result = fn();
    return { result, lines, choices, counts: countOf(lines), toString: () => shown(lines, choices).join("\n") };
  } finally {
    ambient.watchers.splice(ambient.watchers.indexOf(watcher), 1);
  }
}

function forms(handles: readonly AnyHandle[]): string[] {
  return handles.map((handle) => handle?.toString() ?? "-");
}

function countOf(lines: readonly TraceLine[]): Record<string, Record<Means, number>> {
  const counts: Record<string, Record<Means, number>> = {};
  for (const { op, means } of lines) {
    counts[op] ??= { native: 0, composed: 0, declined: 0 };
    counts[op][means]++;
  }
  return counts;
}

/** All lines in order, each choice before what it led to. */
function shown(lines: readonly TraceLine[], choices: readonly TraceChoice[]): string[] {
  const before = (line: number): string[] =>
    choices.filter((choice) => choice.line === line).map(({ depth, text }) => indent(depth) + text);
  return [...lines.flatMap((line, at) => [...before(at), show(line)]), ...before(lines.length)];
}

const indent = (depth: number): string => "  ".repeat(depth);

function show({ depth, op, inputs, outputs, means, milliseconds }: TraceLine): string {
  const call = `${indent(depth)}${op}(${inputs.join(", ")}) -> ${outputs.join(", ")}`;
  return `${call.padEnd(96)} ${means.padEnd(8)} ${milliseconds.toFixed(3)} ms`;
}
