// One training step: forward, backward, clip, update; and the state that a run is resumed from.
import { ConfigError } from "../core/errors.js";
import { valueAndGrad } from "../autograd/value-and-grad.js";
import { parameters } from "../layers/layer.js";
import { add, mul } from "../ops/binary.js";
import { fill } from "../ops/fill.js";
import { loadBalancingLoss, type BalanceOptions } from "../routing/balance.js";
import { routerZLoss } from "../routing/router-losses.js";
import { filledSlots } from "../routing/routings.js";
import type { Routing } from "../routing/router.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { clipScale, globalNorm } from "./clip.js";
import type { Batch } from "./data.js";
import { lossOf, type LanguageModel } from "./language-model.js";
import type { Optimizer } from "./optimizer.js";
import type { Schedule } from "./schedule.js";

export interface TrainerOptions {
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  /** Weight of the load-balancing loss, or its schedule; 0 leaves it out. Never taken from a config in silence. */
  readonly routerAuxLossCoef: number | Schedule;
  /** How that loss is taken; layers that differ in their number of experts need another reduction than "pooled". */
  readonly balance?: Omit<BalanceOptions, "rowMask">;
  /** Weight of the router's z-loss, or its schedule; 0 unless given. */
  readonly routerZLossCoef?: number | Schedule;
  /** Largest global norm of the gradients; no clipping unless given. */
  readonly maxGradNorm?: number;
}

export interface StepReport {
  /** Counted from 0. */
  readonly step: number;
  /** Mean cross entropy in nats over the step's targets. */
  readonly loss: number;
  /** The load-balancing loss, k at perfect balance; NaN without experts. */
  readonly auxLoss: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly tokens: number;
  /** By layer index: how many slots chose each expert, [E]. */
  readonly loads: ReadonlyMap<number, Float32Array>;
}

interface Losses {
  readonly loss: Tensor;
  readonly crossEntropy: Tensor;
  readonly aux: Tensor;
  readonly loads: ReadonlyMap<number, Tensor>;
}

export class Trainer {
  readonly model: LanguageModel;
  readonly #parameters: ReadonlyMap<string, Tensor>;
  readonly #options: TrainerOptions;
  #warned = false;

  constructor(model: LanguageModel, options: TrainerOptions) {
    this.model = model;
    this.#parameters = parameters(model);
    this.#options = options;
  }

  get steps(): number {
    return this.#options.optimizer.steps;
  }

  /**
   * One step over several batches at once (gradient accumulation), in the memory of one: the cross entropy is the mean over all their
   * targets, as one large batch has it; router losses are taken per batch and averaged by targets.
   * @throws IndexError if an id or a target is outside the vocabulary; nothing has changed then
   */
  async step(batches: readonly Batch[]): Promise<StepReport> {
    const { optimizer, schedule, maxGradNorm } = this.#options;
    const counted = batches.reduce((total, batch) => total + batch.counted, 0);
    if (counted === 0) throw new ConfigError("Trainer: a step must have at least one target that counts, got none");
    const step = optimizer.steps;
    const learningRate = schedule(step);
    const seen = scope((): never => {
      const parts = batches.map((batch) => this.#differentiate(batch, batch.counted / counted, step));
      const grads = parts.map(({ grads }) => grads).reduce(sumOf);
      const gradNorm = globalNorm(grads);
      optimizer.advance(learningRate);
      optimizer.apply(grads, maxGradNorm === undefined ? undefined : clipScale(gradNorm, maxGradNorm));
      const losses = parts.map(({ value }) => value);
      return { gradNorm, losses } as never;
    }) as { gradNorm: Tensor; losses: readonly Losses[] };
    return { step, learningRate, tokens: counted, ...(await report(seen.gradNorm, seen.losses, batches, counted)) };
  }

  /** @param share of the step's targets: the weight of this batch */
  #differentiate(batch: Batch, share: number, step: number): { value: Losses; grads: Map<string, Tensor> } {
    const { routerAuxLossCoef, balance, routerZLossCoef = 0 } = this.#options;
    const [auxCoef, zCoef] = [at(step, routerAuxLossCoef), at(step, routerZLossCoef)];
    return valueAndGrad(this.#parameters, (): Losses => {
      const routings = new Map<number, Routing>();
      const crossEntropy = lossOf(this.model, batch, routings);
      const widths = new Set(Array.from(routings.values(), ({ logits }) => logits.shape[logits.shape.length - 1]));
      // Where it has no weight it is only shown, and unlike layers are no error.
      const shown = balance ?? (auxCoef === 0 && widths.size > 1 ? { reduction: "perLayer" as const } : undefined);
      const aux = routings.size > 0 ? loadBalancingLoss(routings, shown) : fill(crossEntropy.backend, [], NaN);
      if (routings.size === 0) this.#warn();
      let total = crossEntropy;
      if (routings.size > 0 && auxCoef !== 0) total = add(total, mul(aux, auxCoef));
      if (routings.size > 0 && zCoef !== 0) total = add(total, mul(routerZLoss(routings), zCoef));
      const loads = new Map(Array.from(routings, ([layer, routing]) => [layer, filledSlots(routing, undefined)]));
      return { loss: mul(total, share), crossEntropy, aux, loads };
    });
  }

  #warn(): void {
    const { routerAuxLossCoef, routerZLossCoef = 0 } = this.#options;
    if (this.#warned || (routerAuxLossCoef === 0 && routerZLossCoef === 0)) return;
    this.#warned = true;
    console.warn(
      "qwen-blocks: a router loss has a weight, but the model reported no routing; it has no experts, or forward ignores `routings`",
    );
  }
}

const at = (step: number, coefficient: number | Schedule): number =>
  typeof coefficient === "number" ? coefficient : coefficient(step);

function sumOf(a: ReadonlyMap<string, Tensor>, b: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map(
    Array.from(a, ([path, grad]) => {
      const other = b.get(path) as Tensor;
      const total = add(grad, other);
      grad.dispose();
      other.dispose();
      return [path, total];
    }),
  );
}

/** Reads back what a step shows, and frees it. */
async function report(
  gradNorm: Tensor,
  losses: readonly Losses[],
  batches: readonly Batch[],
  counted: number,
): Promise<Pick<StepReport, "loss" | "auxLoss" | "gradNorm" | "loads">> {
  try {
    let loss = 0;
    let auxLoss = 0;
    const loads = new Map<number, Float32Array>();
    for (const [i, each] of losses.entries()) {
      const share = batches[i].counted / counted;
      loss += share * (await each.crossEntropy.data())[0];
      auxLoss += share * (await each.aux.data())[0];
      for (const [layer, chosen] of each.loads) {
        const counts = (await chosen.data()) as Float32Array;
        loads.set(layer, loads.get(layer)?.map((before, expert) => before + counts[expert]) ?? counts);
      }
    }
    return { loss, auxLoss, gradNorm: (await gradNorm.data())[0], loads };
  } finally {
    gradNorm.dispose();
    for (const { loss, crossEntropy, aux, loads } of losses)
      for (const shown of [loss, crossEntropy, aux, ...loads.values()]) shown.dispose();
  }
}
