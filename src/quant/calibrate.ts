// What a model's matrices meet when it reads text: the mean square of each column's inputs, by which encoders weigh errors.
import { ConfigError } from "../core/errors.js";
import type { Parameter, Roundings } from "../layers/layer.js";
import { add, equal, mul } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { expertLinear } from "../ops/expert-linear.js";
import { arange, zeros } from "../ops/fill.js";
import { matmul } from "../ops/matmul.js";
import { reshape } from "../ops/reshape.js";
import { sum } from "../ops/reduce.js";
import { swiglu } from "../ops/swiglu.js";
import { ambient, type AnyHandle, type Ended, type Watcher } from "../tensor/ambient.js";
import { keep, scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { matricesOf, type Where } from "./matrices.js";

/** Anything that turns rows of token ids into logits. `Qwen3` is one. */
export interface Reader {
  forward(ids: readonly ArrayLike<number>[]): Tensor;
}

/** Per column of each matrix the sum of squares so far, [matrices, width], and how many inputs came, [matrices, 1]. */
interface Sums {
  readonly squares: Tensor;
  readonly count: Tensor;
}

export interface CalibrateOptions {
  /** Which matrices, by path; all unless given. */
  readonly where?: Where;
}

/**
 * Reads texts (each a batch of rows of token ids) and gives, by path, the mean square of what each column of a matrix was multiplied with:
 * [width], or [E, width] for the stacked matrices of experts, where only the tokens that chose an expert count; zeros for one that none chose.
 * Products find their matrix by itself, so a table that is only looked up in has no entry. Sums are kept on the device and read at the end; the model stays
 * as it is. The importance of `packModel` (as the importance matrix of llama.cpp; Lin et al. 2023, "AWQ", for why inputs tell).
 *
 * @throws ConfigError if no text is given, no product met a matrix, or a matrix is being trained in few bits
 */
export async function calibrate(
  model: Reader,
  texts: Iterable<readonly ArrayLike<number>[]>,
  { where = () => true }: CalibrateOptions = {},
): Promise<Map<string, Float32Array>> {
  const paths = new Map<number, string>();
  for (const { path, block, field, parameter } of matricesOf(model, where)) {
    if ((block.roundings as Roundings | undefined)?.[field]) {
      throw new ConfigError(
        `calibrate: ${path} must be read as it is, got one that fakeQuantModel rounds; calibrate before that, or after packModel`,
      );
    }
    if (!paths.has(parameter.id)) paths.set(parameter.id, path);
  }
  const meter = new Meter(new Set(paths.keys()));
  try {
    ambient.watchers.push(meter);
    try {
      for (const text of texts) model.forward(text).dispose();
    } finally {
      ambient.watchers.splice(ambient.watchers.indexOf(meter), 1);
    }
    const found = new Map<string, Float32Array>();
    for (const [id, path] of paths) {
      const sums = meter.sums.get(id);
      if (!sums) continue;
      const [squares, count] = [(await sums.squares.data()) as Float32Array, await sums.count.data()];
      const width = squares.length / count.length;
      found.set(
        path,
        squares.map((square, i) => square / Math.max(count[Math.floor(i / width)], 1)),
      );
    }
    if (found.size > 0) return found;
    throw new ConfigError("calibrate: texts must make products with the model's matrices, got none; give token ids");
  } finally {
    for (const { squares, count } of meter.sums.values()) for (const made of [squares, count]) made.dispose();
  }
}

/** Adds up what products read, before each of them. */
class Meter implements Watcher {
  readonly sums = new Map<number, Sums>();
  readonly #wanted: ReadonlySet<number>;
  /** Whether an op is running: what it is composed of, and what this computes itself, does not count. */
  #busy = false;

  constructor(wanted: ReadonlySet<number>) {
    this.#wanted = wanted;
  }

  chose(): void {}

  began(op: string, inputs: readonly AnyHandle[]): Ended {
    if (this.#busy) return () => {};
    this.#busy = true;
    scope(() => {
      const [x, weight] = inputs as readonly [Tensor, Parameter];
      if (op === "linear") this.#add(weight, x);
      if (op === "expertLinear") this.#add(weight, x, inputs[2] as Tensor);
      if (op === "expertMlp") this.#addMlp(inputs as never);
    });
    return () => {
      this.#busy = false;
    };
  }

  /** The inputs of down lie inside the op. */
  #addMlp([x, gateUp, down, experts]: readonly [Tensor, Parameter, Parameter, Tensor]): void {
    this.#add(gateUp, x, experts);
    if (this.#wanted.has(down.id)) this.#add(down, swiglu(expertLinear(x, gateUp, experts)), experts);
  }

  /** @param experts i32 [R, k]: whose input each row of x [R, width] or [R, k, width] is; of the one matrix unless given */
  #add(weight: Parameter, x: Tensor, experts?: Tensor): void {
    if (!this.#wanted.has(weight.id)) return;
    const { backend } = x;
    const width = x.shape[x.shape.length - 1];
    const perSlot = experts !== undefined && x.shape.length === 3;
    const inputs = perSlot || !experts ? x.size / width : experts.shape[0];
    const matrices = experts ? weight.shape[0] : 1;
    // f32 [inputs, matrices]: how often each input meets each matrix.
    const meets = experts
      ? sum(
          cast(
            equal(reshape(experts, [inputs, experts.size / Math.max(inputs, 1), 1]), arange(backend, matrices)),
            "f32",
          ),
          [1],
        )
      : undefined;
    const rows = reshape(x, [inputs, width]);
    const squared = mul(rows, rows);
    const squares = meets
      ? matmul(reshape(meets, [inputs, matrices]), squared, { transposeA: true })
      : sum(squared, [0]);
    const count = meets ? reshape(sum(meets, [0]), [matrices, 1]) : add(zeros(backend, [1, 1]), inputs);
    const former = this.sums.get(weight.id);
    this.sums.set(weight.id, {
      squares: keep(former ? add(former.squares, squares) : squares),
      count: keep(former ? add(former.count, count) : count),
    });
    former?.squares.dispose();
    former?.count.dispose();
  }
}
