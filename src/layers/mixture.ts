// What mixtures share, whatever their experts are: the gate and its router, a shared expert beside them, and which gradients reach the trunk.
import { ConfigError } from "../core/errors.js";
import { rowsOf, showShape } from "../core/shape.js";
import { add, mul } from "../ops/binary.js";
import { expectDType, expectInteger, expectShape } from "../ops/expect.js";
import { fill } from "../ops/fill.js";
import { linear } from "../ops/linear.js";
import { reshape } from "../ops/reshape.js";
import { select } from "../ops/select.js";
import { stopGradient } from "../ops/stop-gradient.js";
import { sigmoid } from "../ops/unary.js";
import { expectRouter } from "../routing/expect-option.js";
import type { Router, Routing } from "../routing/router.js";
import type { Tensor } from "../tensor/tensor.js";
import { readMatrix } from "./layer.js";
import { Linear } from "./linear.js";
import { SwigluMlp } from "./swiglu-mlp.js";
import type { Weights } from "./weights.js";

export interface MixtureOptions {
  readonly hiddenSize: number;
  readonly router: Router;
  /** Width of a feed-forward that every token visits beside the experts it chose (`shared_expert_intermediate_size`). None if 0 or left out. */
  readonly sharedExpertIntermediateSize?: number;
  /**
   * Whether sigmoid(x w) weighs what the shared expert gives. Never guessed where there is one, because families differ: true in Qwen2-MoE,
   * false in DeepSeek.
   */
  readonly sharedExpertGate?: boolean;
  /** No gradient reaches the layer's input through the gate; the gate itself still learns. false if left out. */
  readonly isolateRouter?: boolean;
  /** No gradient reaches the layer's input through any expert, the shared one included; they still learn. false if left out. */
  readonly isolateExperts?: boolean;
}

export interface MoEForwardOptions {
  /** u32 [B, T]: rows with 0 visit no expert and give 0. */
  readonly rowMask?: Tensor;
}

/** What a mixture returns: its output, and the routing that losses and statistics take. */
export interface MoEOutput {
  readonly output: Tensor;
  readonly routing: Routing;
}

/** The fields that every mixture has. */
export interface MixtureParts {
  /** The router's projection [E, D]; its product and softmax are f32, also in packed models. */
  readonly gate: Linear;
  readonly router: Router;
  readonly sharedExpert: SwigluMlp | undefined;
  /** [1, D]; its product is f32 like that of `gate`. */
  readonly sharedExpertGate: Linear | undefined;
  /** May change from one forward pass to the next. */
  isolateRouter: boolean;
  /** May change from one forward pass to the next. */
  isolateExperts: boolean;
}

/** @throws ConfigError if the router is missing, a size is out of range, or whether a shared expert has a gate is not said */
export function mixtureParts(where: string, w: Weights, numExperts: number, options: MixtureOptions): MixtureParts {
  const { hiddenSize, router, sharedExpertIntermediateSize: intermediateSize = 0, sharedExpertGate } = options;
  expectRouter(where, router);
  expectInteger(where, "hiddenSize", hiddenSize, 1);
  expectInteger(where, "numExperts", numExperts, 1);
  if (!Number.isInteger(intermediateSize) || intermediateSize < 0) {
    throw new ConfigError(
      `${where}: sharedExpertIntermediateSize must be an integer of at least 0, got ${intermediateSize}`,
    );
  }
  const shared = intermediateSize > 0;
  if (shared && typeof sharedExpertGate !== "boolean") {
    throw new ConfigError(
      `${where}: sharedExpertGate must be true or false where there is a shared expert, got ${String(sharedExpertGate)}; Qwen2-MoE has one, DeepSeek has none`,
    );
  }
  return {
    gate: new Linear(w.at("gate"), { inFeatures: hiddenSize, outFeatures: numExperts }),
    router,
    sharedExpert: shared ? new SwigluMlp(w.at("sharedExpert"), { hiddenSize, intermediateSize }) : undefined,
    sharedExpertGate:
      shared && sharedExpertGate
        ? new Linear(w.at("sharedExpertGate"), { inFeatures: hiddenSize, outFeatures: 1 })
        : undefined,
    isolateRouter: options.isolateRouter === true,
    isolateExperts: options.isolateExperts === true,
  };
}

/**
 * @param experts what the routed experts make of rows [R, D] and a routing, and the routing as it was after their capacities
 * @throws ShapeError, DTypeError unless the mask is u32 and holds one number per row
 */
export function forwardMixture(
  where: string,
  { gate, router, sharedExpert, sharedExpertGate, isolateRouter, isolateExperts }: MixtureParts,
  x: Tensor,
  { rowMask }: MoEForwardOptions,
  experts: (rows: Tensor, routing: Routing) => MoEOutput,
): MoEOutput {
  const seen = rowMask ? withoutPadding(where, x, rowMask) : x;
  const routing = router.route(linear(isolateRouter ? stopGradient(seen) : seen, readMatrix(gate, "weight")), rowMask);
  const given = isolateExperts ? stopGradient(seen) : seen;
  const { rows, width } = rowsOf(x.shape);
  const chosen = experts(reshape(given, [rows, width]), routing);
  const output = reshape(chosen.output, x.shape);
  if (!sharedExpert) return { ...chosen, output };
  const all = sharedExpert.forward(given);
  const shared = sharedExpertGate ? mul(all, sigmoid(linear(given, readMatrix(sharedExpertGate, "weight")))) : all;
  return { ...chosen, output: add(output, shared) };
}

/** Zeros in the rows of padding, whose gradients would else be 0 times whatever they hold. */
function withoutPadding(where: string, x: Tensor, rowMask: Tensor): Tensor {
  expectDType(where, "rowMask", rowMask, "u32");
  expectShape(where, "rowMask", rowMask, x.shape.slice(0, -1), `one number per row of x ${showShape(x.shape)}`);
  return select(reshape(rowMask, [...rowMask.shape, 1]), x, fill(x.backend, [], 0));
}
