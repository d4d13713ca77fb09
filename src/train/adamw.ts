// AdamW: Adam with decoupled weight decay.
import { ConfigError } from "../core/errors.js";
import { adamW } from "../ops/adam-w.js";
import { zeros } from "../ops/fill.js";
import { reshape } from "../ops/reshape.js";
import { writeSlice } from "../ops/write-slice.js";
import { tensor } from "../tensor/create.js";
import { keep, scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Optimizer } from "./optimizer.js";

export interface AdamWOptions {
  /** Memory of the mean; 0.9 unless given. */
  readonly beta1?: number;
  /** Memory of the squares; 0.95 unless given, as language models are commonly trained. */
  readonly beta2?: number;
  /** Added to the root of the squares; 1e-8 unless given. */
  readonly eps?: number;
  /** Share of a parameter that a step of learning rate 1 takes away; 0.1 unless given. */
  readonly weightDecay?: number;
  /** Which parameters decay; matrices, and not norms or biases, unless given. */
  readonly decays?: (path: string, parameter: Tensor) => boolean;
}

interface Moments {
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/** Loshchilov & Hutter 2019, "Decoupled weight decay regularization"; the formula of torch.optim.AdamW. */
export class AdamW implements Optimizer {
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #moments = new Map<string, Moments>();
  readonly #options: Required<AdamWOptions>;
  readonly #hyper: Tensor;
  #steps = 0;

  /** @throws ConfigError if an option is out of range or there is no parameter */
  constructor(parameters: ReadonlyMap<string, Tensor>, options: AdamWOptions = {}) {
    const [first] = parameters.values();
    if (!first) throw new ConfigError("AdamW: at least one parameter must be given, got none; pass parameters(model)");
    this.#options = {
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-8,
      weightDecay: 0.1,
      decays: (_, parameter) => parameter.shape.length > 1,
      ...options,
    };
    check(this.#options);
    this.#parameters = parameters;
    this.#hyper = keep(tensor(first.backend, [0, 1, 1, 1]));
    for (const [path, { backend, shape }] of parameters) {
      this.#moments.set(path, { mean: keep(zeros(backend, shape)), variance: keep(zeros(backend, shape)) });
    }
  }

  get steps(): number {
    return this.#steps;
  }

  get state(): ReadonlyMap<string, Tensor> {
    const named = new Map<string, Tensor>();
    for (const [path, { mean, variance }] of this.#moments)
      named.set(`mean.${path}`, mean).set(`variance.${path}`, variance);
    return named;
  }

  advance(learningRate: number): void {
    this.#steps++;
    const { beta1, beta2 } = this.#options;
    this.#hyper.write(Float32Array.of(learningRate, 1 - beta1 ** this.#steps, 1 - beta2 ** this.#steps, 1));
  }

  apply(grads: ReadonlyMap<string, Tensor>, gradScale?: Tensor): void {
    const { beta1, beta2, eps, weightDecay, decays } = this.#options;
    if (gradScale) scope(() => writeSlice(reshape(gradScale, [1]), this.#hyper, [3]));
    for (const [path, parameter] of this.#parameters) {
      const grad = grads.get(path);
      const moments = this.#moments.get(path);
      if (!grad || !moments)
        throw new ConfigError(`AdamW: grads must hold one for every parameter, got none for ${path}`);
      const decay = decays(path, parameter) ? weightDecay : 0;
      adamW(grad, this.#hyper, parameter, moments.mean, moments.variance, { beta1, beta2, eps, decay });
    }
  }

  resume(steps: number): void {
    this.#steps = steps;
  }

  dispose(): void {
    this.#hyper.dispose();
    for (const { mean, variance } of this.#moments.values()) {
      mean.dispose();
      variance.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function check({ beta1, beta2, eps, weightDecay }: Required<AdamWOptions>): void {
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    if (!(beta >= 0 && beta < 1)) throw new ConfigError(`AdamW: ${name} must lie in [0, 1), got ${beta}`);
  }
  if (!(eps > 0)) throw new ConfigError(`AdamW: eps must be positive, got ${eps}`);
  if (!(weightDecay >= 0)) throw new ConfigError(`AdamW: weightDecay must be at least 0, got ${weightDecay}`);
}
