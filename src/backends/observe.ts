// Wraps every kernel of a backend at once. One kernel shape makes counting, timing and checking one loop each.
import { DECLINED, type Backend, type Command, type Kernels, type OpName, type Replay } from "./backend.js";
import { outOfRange } from "./index-check.js";

export interface KernelCalls {
  /** Calls that ran; declined ones are not counted. */
  readonly count: number;
  /** Host time; on devices that queue work, the time to enqueue. */
  readonly milliseconds: number;
}

export interface Observed extends Backend {
  readonly calls: ReadonlyMap<OpName, KernelCalls>;
  /** With `check`: indices that were out of range, each with its op. Complete after `idle()`. */
  readonly problems: readonly string[];
  /** Forgets calls and problems. */
  reset(): void;
}

export interface ObserveOptions {
  /** Called after each kernel that ran. */
  readonly onCommand?: (command: Command, milliseconds: number) => void;
  /** Whether to read indices back and to report those out of range. Slow: for debugging. */
  readonly check?: boolean;
}

type AnyKernel = (inputs: never, outputs: never, attrs: never) => void | typeof DECLINED;

/**
 * A backend with the same memory whose kernels are counted and timed. Tensors of both mix freely. A replay calls the kernels one by one where
 * each is to be seen; without `onCommand` and `check` it runs as one, and its time is shared out equally.
 */
export function observe(backend: Backend, { onCommand, check = false }: ObserveOptions = {}): Observed {
  const calls = new Map<OpName, KernelCalls>();
  const problems: string[] = [];
  const checks = new Set<Promise<void>>();
  const kernels: Record<string, AnyKernel> = {};
  const verify = (command: Command): void => {
    const checking = outOfRange(backend.memory, command).then((problem) => {
      if (problem) problems.push(problem);
      checks.delete(checking);
    });
    checks.add(checking);
  };
  const count = (name: OpName, milliseconds: number): void => {
    const before = calls.get(name) ?? { count: 0, milliseconds: 0 };
    calls.set(name, { count: before.count + 1, milliseconds: before.milliseconds + milliseconds });
  };
  const compile = (commands: readonly Command[]): Replay | undefined => {
    const replay = backend.compile?.(commands);
    if (replay === undefined) return undefined;
    return {
      run() {
        const start = performance.now();
        replay.run();
        const each = (performance.now() - start) / commands.length;
        for (const { op } of commands) count(op, each);
      },
      [Symbol.dispose]: () => replay[Symbol.dispose](),
    };
  };
  for (const [name, kernel] of Object.entries(backend.kernels) as [OpName, AnyKernel][]) {
    kernels[name] = (inputs, outputs, attrs) => {
      const start = performance.now();
      const result = kernel(inputs, outputs, attrs);
      if (result === DECLINED) return result;
      const milliseconds = performance.now() - start;
      count(name, milliseconds);
      const command: Command = { op: name, inputs, outputs, attrs };
      if (check) verify(command);
      onCommand?.(command, milliseconds);
      return undefined;
    };
  }
  return {
    name: backend.name,
    info: backend.info,
    features: backend.features,
    memory: backend.memory,
    kernels: kernels as unknown as Kernels,
    ...(check || onCommand ? {} : { compile }),
    flush: () => backend.flush(),
    idle: async () => {
      await backend.idle();
      await Promise.all(checks);
    },
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
    calls,
    problems,
    reset: () => {
      calls.clear();
      problems.length = 0;
    },
  };
}
