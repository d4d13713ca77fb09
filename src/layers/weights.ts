// Where blocks get their weights. One constructor path serves random initialisation, loading and packed files: a block asks for a tensor by
// name, shape and the way it would be initialised, and the source decides.
import type { Backend } from "../backends/backend.js";
import { Random } from "../core/random.js";
import type { Shape } from "../core/shape.js";
import { fill } from "../ops/fill.js";
import { randn } from "../tensor/create.js";
import { keep } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Parameter } from "./layer.js";

/** How a weight begins: normal numbers around 0, all ones (norms), or all zeros (biases). */
export type Init = "normal" | "ones" | "zeros";

/** A cursor into a tree of weights; `at` descends into a block's field. */
export interface Weights {
  readonly backend: Backend;
  /** From the root, in the form of parameter paths: `layers.0.selfAttn`. */
  readonly path: string;
  at(field: string | number): Weights;
  /** The weight `name` of the block at this path. It belongs to the block. @throws CheckpointError if a file has none or another shape */
  take(name: string, shape: Shape, init: Init): Parameter;
  /** The same matrix as runs of rows, from the top: several where a file holds its rows in several types, else one. */
  takeRuns(name: string, shape: Shape, init: Init): readonly Parameter[];
}

type Take<T> = (path: string, shape: Shape, init: Init) => T;

export interface RandomWeightsOptions {
  /** Deviation of normal weights; 0.02, the family's `initializer_range`, unless given. */
  readonly initializerRange?: number;
}

/**
 * Fresh weights: N(0, initializerRange) for matrices, ones for norms, zeros for biases, as transformers initialises this family. Each weight
 * depends on the seed and its path alone, so adding a block changes no other weight.
 */
export function randomWeights(
  backend: Backend,
  seed: number,
  { initializerRange = 0.02 }: RandomWeightsOptions = {},
): Weights {
  const root = new Random(seed);
  const take = (path: string, shape: Shape, init: Init): Tensor => {
    if (init === "normal") return randn(backend, shape, root.fork(path), initializerRange);
    return fill(backend, shape, init === "ones" ? 1 : 0);
  };
  return weightsFrom(backend, take);
}

/** Weights out of a function of the whole path; what {@link Weights} implementations share. */
export function weightsFrom(
  backend: Backend,
  take: Take<Parameter>,
  takeRuns: Take<readonly Parameter[]> = (...weight) => [take(...weight)],
  path = "",
): Weights {
  const join = (name: string | number): string => (path === "" ? String(name) : `${path}.${name}`);
  return {
    backend,
    path,
    at: (field) => weightsFrom(backend, take, takeRuns, join(field)),
    take: (name, shape, init) => keep(take(join(name), shape, init)),
    takeRuns: (name, shape, init) => takeRuns(join(name), shape, init).map((run) => keep(run)),
  };
}
