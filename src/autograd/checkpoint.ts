// Less memory for more time: forget what a function computed on the way, and compute it again when its gradient is needed.
import { ambient, withTape, type AnyHandle, type TapeEntry, type TapeListener } from "../tensor/ambient.js";
import { keep, scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { replayed } from "./tape.js";

type Results = Tensor | readonly Tensor[];

/**
 * Wraps `fn` so that a tape keeps its arguments and the parameters it closes over, and not what lies between them and the results
 * (Chen et al. 2016, "Training deep nets with sublinear memory cost"). `fn` must compute the same each time, and take activations as
 * arguments: a tensor that it closes over must outlive the backward pass.
 */
export function checkpoint<A extends readonly Tensor[], R extends Results>(
  fn: (...inputs: A) => R,
): (...inputs: A) => R {
  return (...inputs) => {
    const { tape } = ambient;
    if (!tape) return fn(...inputs);
    const reads = new Reads(tape);
    try {
      const result = withTape(reads, () => scope(() => fn(...inputs) as never)) as R;
      const known = new Set(inputs.map(({ id }) => id));
      const others = reads.from.filter(({ id }) => !known.has(id));
      tape.ran({
        name: "checkpoint",
        attrs: {},
        inputs: [...inputs, ...others],
        outputs: listOf(result),
        gradient: (held, _, grads, wants) =>
          replayed(() => listOf(fn(...(held.slice(0, inputs.length) as unknown as A))), held, grads, wants),
      });
      return result;
    } finally {
      for (const tensor of reads.from) tensor.dispose();
    }
  };
}

const listOf = (result: Results): readonly Tensor[] => (result instanceof Tensor ? [result] : result);

/** Collects the values that a function reads and did not make. */
class Reads implements TapeListener {
  readonly from: Tensor[] = [];
  readonly #known = new Set<number>();
  readonly #outer: TapeListener;

  constructor(outer: TapeListener) {
    this.#outer = outer;
  }

  ran({ inputs, outputs }: TapeEntry): void {
    for (const input of inputs) {
      if (!(input instanceof Tensor) || this.#known.has(input.id)) continue;
      this.#known.add(input.id);
      this.from.push(keep(input.retain()));
    }
    for (const output of outputs) if (output) this.#known.add(output.id);
  }

  wrote(name: string, inputs: readonly AnyHandle[]): void {
    this.#outer.wrote(name, inputs);
  }
}
