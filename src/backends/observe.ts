// Wraps every kernel of a backend at once. One kernel shape makes counting, timing and checking one loop each.
import { DECLINED, type Backend, type Command, type Kernels, type OpName } from "./backend.js";

export interface Observed extends Backend {
  /** Kernel calls that ran (declined ones are not counted) and their host time, by op. */
  readonly calls: ReadonlyMap<OpName, { readonly count: number; readonly milliseconds: number }>;
  reset(): void;
}

export interface ObserveOptions {
  /** Called after each kernel that ran. */
  readonly onCommand?: (command: Command, milliseconds: number) => void;
}

type AnyKernel = (inputs: never, outputs: never, attrs: never) => void | typeof DECLINED;

/** A backend with the same memory whose kernels are counted and timed. Tensors of both mix freely. */
export function observe(backend: Backend, { onCommand }: ObserveOptions = {}): Observed {
  const calls = new Map<OpName, { count: number; milliseconds: number }>();
  const kernels: Record<string, AnyKernel> = {};
  for (const [name, kernel] of Object.entries(backend.kernels) as [OpName, AnyKernel][]) {
    kernels[name] = (inputs, outputs, attrs) => {
      const start = performance.now();
      const result = kernel(inputs, outputs, attrs);
      if (result === DECLINED) return result;
      const milliseconds = performance.now() - start;
      const entry = calls.get(name) ?? { count: 0, milliseconds: 0 };
      calls.set(name, { count: entry.count + 1, milliseconds: entry.milliseconds + milliseconds });
      onCommand?.({ op: name, inputs, outputs, attrs }, milliseconds);
      return undefined;
    };
  }
  return {
    name: backend.name,
    info: backend.info,
    features: backend.features,
    memory: backend.memory,
    kernels: kernels as unknown as Kernels,
    flush: () => backend.flush(),
    idle: () => backend.idle(),
    [Symbol.asyncDispose]: () => backend[Symbol.asyncDispose](),
    calls,
    reset: () => calls.clear(),
  };
}
