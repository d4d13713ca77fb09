// Which experts a token visits, and with which weight.
import { rowsOf, showShape, withLastAxis } from "../core/shape.js";
import { div, maximum, mul } from "../ops/binary.js";
import { expectDType, expectShape } from "../ops/expect.js";
import { fill } from "../ops/fill.js";
import { sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { route, type RouteOptions } from "../ops/route.js";
import { select } from "../ops/select.js";
import type { Tensor } from "../tensor/tensor.js";

export interface Routing {
  /** f32 [B, T, E], raw: what the losses take. */
  readonly logits: Tensor;
  /** f32 [B, T, k], 0 where the slot is empty. */
  readonly weights: Tensor;
  /** i32 [B, T, k], -1 where the slot is empty. */
  readonly experts: Tensor;
  /** i32 [E]: slots that a capacity emptied. */
  readonly dropped: Tensor | undefined;
}

export interface Router {
  /** No batch row depends on another, no token on a later one. */
  readonly rowWise: boolean;
  /** Whether a token's weights sum to `routedScalingFactor`; what empties slots afterwards then makes the rest do so. False if left out. */
  readonly normTopkProb?: boolean;
  /** 1 if left out. */
  readonly routedScalingFactor?: number;
  /** @param logits f32 [B, T, E] @param rowMask u32 [B, T], 0 for padding */
  route(logits: Tensor, rowMask?: Tensor): Routing;
}

/** The op `route` on the rows of logits f32 [..., E]. @throws ConfigError if there are fewer experts than `options.k` */
export function routeRows(logits: Tensor, bias: Tensor | undefined, options: RouteOptions): Routing {
  const { rows, width } = rowsOf(logits.shape);
  const { weights, experts } = route(reshape(logits, [rows, width]), bias, options);
  const slots = withLastAxis(logits.shape, options.k);
  return { logits, weights: reshape(weights, slots), experts: reshape(experts, slots), dropped: undefined };
}

/**
 * Makes each token's weights sum to `total`. Where they sum to less than 1e-20 they are divided by that instead (DeepSeek-V3 adds it), so a
 * token without experts keeps its zeros, and so does one whose scores vanish in f32.
 */
export function normalizeWeights(routing: Routing, total = 1): Routing {
  const { weights } = routing;
  return scaleWeights({ ...routing, weights: div(weights, maximum(sum(weights), 1e-20)) }, total);
}

export function scaleWeights(routing: Routing, by: number): Routing {
  return by === 1 ? routing : { ...routing, weights: mul(routing.weights, by) };
}

/** Empties the slots that `keep` (u32, broadcast against [B, T, k]) refuses: no expert, weight 0. */
export function emptySlots(routing: Routing, keep: Tensor): Routing {
  const { backend } = routing.logits;
  return {
    ...routing,
    weights: select(keep, routing.weights, fill(backend, [], 0)),
    experts: select(keep, routing.experts, fill(backend, [], -1, { dtype: "i32" })),
  };
}

/** Rows that the mask refuses visit no expert. @throws ShapeError, DTypeError unless the mask is u32 [B, T] */
export function maskRows(routing: Routing, rowMask: Tensor): Routing {
  expectRowMask(routing, rowMask);
  return emptySlots(routing, reshape(rowMask, [...rowMask.shape, 1]));
}

/** @throws ShapeError, DTypeError unless the mask holds one u32 per row of the logits */
export function expectRowMask({ logits }: Pick<Routing, "logits">, rowMask: Tensor): void {
  expectDType("rowMask", "it", rowMask, "u32");
  expectShape(
    "rowMask",
    "it",
    rowMask,
    logits.shape.slice(0, -1),
    `one number per row of the logits ${showShape(logits.shape)}`,
  );
}
