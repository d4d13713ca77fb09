// The record of what ran, and the walk back over it.
import { BackendError, GradientError } from "../core/errors.js";
import { sameShape, showShape } from "../core/shape.js";
import { add } from "../ops/binary.js";
import { zeros } from "../ops/fill.js";
import type { Allocation } from "../tensor/allocation.js";
import { withTape, type AnyHandle, type Gradient, type TapeEntry, type TapeListener } from "../tensor/ambient.js";
import { adopt, keep, scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { primitiveGradients } from "./gradients.js";

/** An op on the path from a parameter to the loss, with references of its own on what its gradient needs. */
interface Node {
  readonly entry: TapeEntry;
  readonly inputs: readonly AnyHandle[];
  readonly outputs: readonly AnyHandle[];
  readonly wants: readonly boolean[];
  /** How often the memory of each input and output had been written when the op had run. */
  readonly seen: readonly number[];
}

/** Records ops that depend on the tracked values, as they were called: never the parts of a composite. */
export class Tape implements TapeListener {
  readonly #tracked: Set<number>;
  readonly #nodes: Node[] = [];

  /** @param values what gradients are wanted for */
  constructor(values: Iterable<Tensor>) {
    this.#tracked = new Set(Array.from(values, ({ id }) => id));
  }

  tracks(handle: AnyHandle): boolean {
    return handle !== undefined && this.#tracked.has(handle.id);
  }

  ran(entry: TapeEntry): void {
    const wants = entry.inputs.map((input) => this.tracks(input));
    if (!wants.includes(true)) return;
    for (const output of entry.outputs)
      if (output instanceof Tensor && output.dtype === "f32") this.#tracked.add(output.id);
    const inputs = entry.inputs.map(held);
    const outputs = entry.outputs.map(held);
    this.#nodes.push({ entry, inputs, outputs, wants, seen: [...inputs, ...outputs].map(writesTo) });
  }

  wrote(name: string, inputs: readonly AnyHandle[]): void {
    const lost = inputs.find((input) => this.tracks(input));
    if (!lost) return;
    throw new GradientError(
      `${name}: what it writes must not depend on a parameter while gradients are recorded, got ${lost.toString()}; stopGradient() it, or train without a cache`,
    );
  }

  /**
   * Gradients of the given outputs' weighted sum, by the id of a value. Consumes the tape.
   * @param seeds the weight of each output, that is, the gradient that arrives there
   */
  backward(seeds: ReadonlyMap<number, Tensor>): Gradients {
    const gradients = new Gradients();
    try {
      for (const [id, seed] of seeds) gradients.add(id, seed);
      for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
        try {
          scope(() => back(node, gradients));
        } finally {
          release(node);
        }
      }
      return gradients;
    } catch (error) {
      gradients.dispose();
      throw error;
    }
  }

  /** Lets go of everything recorded. */
  dispose(): void {
    this.#nodes.splice(0).forEach(release);
  }
}

/** Gradients found so far, by the id of their value; owned here until taken. */
export class Gradients {
  readonly #byId = new Map<number, Tensor>();

  add(id: number, gradient: Tensor): void {
    const before = this.#byId.get(id);
    this.#byId.set(id, keep(before ? add(before, gradient) : gradient.retain()));
    before?.dispose();
  }

  /** Hands a gradient over to the innermost scope. */
  take(id: number): Tensor | undefined {
    const gradient = this.#byId.get(id);
    this.#byId.delete(id);
    if (gradient) adopt(gradient);
    return gradient;
  }

  dispose(): void {
    for (const gradient of this.#byId.values()) gradient.dispose();
    this.#byId.clear();
  }
}

function held(handle: AnyHandle): AnyHandle {
  return handle && keep(handle.retain());
}

function release({ inputs, outputs }: Node): void {
  for (const handle of [...inputs, ...outputs]) handle?.dispose();
}

function memoryOf(handle: AnyHandle): readonly Allocation[] {
  if (handle === undefined) return [];
  return handle instanceof Tensor ? [handle.allocation] : handle.parts.map((part) => part.allocation);
}

function writesTo(handle: AnyHandle): number {
  return memoryOf(handle).reduce((writes, memory) => writes + memory.writes, 0);
}

function back({ entry, inputs, outputs, wants, seen }: Node, gradients: Gradients): void {
  const arriving = outputs.map((output) => (output ? gradients.take(output.id) : undefined));
  if (arriving.every((gradient) => gradient === undefined)) return;
  [...inputs, ...outputs].forEach((handle, i) => {
    if (handle === undefined || writesTo(handle) === seen[i]) return;
    const what = i < inputs.length ? `operand ${i}` : `result ${i - inputs.length}`;
    const writers = memoryOf(handle).map(({ lastWriter }) => lastWriter);
    throw new GradientError(
      `${entry.name}: ${what} ${handle.toString()} must stay unchanged until its gradient is taken, but ${writers.find(Boolean)} wrote to it; copy it first`,
    );
  });
  const found = (ruleOf(entry) ?? replay(entry))(inputs, outputs, arriving, wants);
  found.forEach((gradient, i) => {
    const input = inputs[i];
    if (!gradient || !wants[i] || !(input instanceof Tensor)) return;
    if (!sameShape(gradient.shape, input.shape)) {
      throw new BackendError(
        `${entry.name}: the gradient of operand ${i} must have shape ${showShape(input.shape)}, got ${showShape(gradient.shape)}; its rule is wrong`,
      );
    }
    gradients.add(input.id, gradient);
  });
}

function ruleOf({ name, attrs, gradient }: TapeEntry): Gradient | undefined {
  if (gradient) return gradient;
  const rule = (primitiveGradients as Record<string, (...args: readonly unknown[]) => readonly (Tensor | undefined)[]>)[
    name
  ];
  return rule && ((inputs, outputs, grads, wants) => rule(inputs, outputs, grads, attrs, wants));
}

/** Without a rule the composite runs again under a tape of its own, and that tape is walked back. */
function replay({ name, composite }: TapeEntry): Gradient {
  if (!composite) throw new GradientError(`${name}: has no gradient; stopGradient() its operands`);
  return (inputs, _, grads, wants) => replayed(() => composite(inputs), inputs, grads, wants);
}

/** Gradients of what `fn` computes from `inputs`, found by running it again. */
export function replayed(
  fn: () => readonly AnyHandle[],
  inputs: readonly AnyHandle[],
  grads: readonly (Tensor | undefined)[],
  wants: readonly boolean[],
): readonly (Tensor | undefined)[] {
  const wanted = inputs.filter((input, i): input is Tensor => wants[i] && input instanceof Tensor);
  const tape = new Tape(wanted);
  try {
    const outputs = withTape(tape, fn);
    const seeds = new Map<number, Tensor>();
    outputs.forEach((output, i) => {
      const seed = grads[i];
      if (output && seed && tape.tracks(output)) seeds.set(output.id, seed);
    });
    const gradients = tape.backward(seeds);
    return inputs.map((input, i) =>
      wants[i] && input instanceof Tensor ? (gradients.take(input.id) ?? zeros(input.backend, input.shape)) : undefined,
    );
  } finally {
    tape.dispose();
  }
}
