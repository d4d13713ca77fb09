// Experts choose tokens: every expert gets its best ones, so the load is even by construction, and a token may get any number of experts.
import { sizeOf } from "../core/shape.js";
import { add } from "../ops/binary.js";
import { arange, fill, zeros } from "../ops/fill.js";
import { permute } from "../ops/permute.js";
import { reshape } from "../ops/reshape.js";
import { scatterRows } from "../ops/scatter-rows.js";
import { select } from "../ops/select.js";
import { softmax } from "../ops/softmax.js";
import { topK } from "../ops/top-k.js";
import type { Tensor } from "../tensor/tensor.js";
import { expectOption, expectPer, type Per } from "./expect-option.js";
import { emptySlots, expectRowMask, maskRows, type Router, type Routing } from "./router.js";

export interface ExpertChoiceRouterOptions {
  /** How many experts a token gets on average: each expert takes ceil(tokens x factor / E) of them, at most all. */
  readonly capacityFactor: number;
  /** Among which tokens an expert chooses: those of a batch row, which then depends on no other row, or all. "row" if left out. */
  readonly per?: Per;
}

/**
 * Each expert visits the tokens that give it the largest share of their softmax; that share is the weight (Zhou et al. 2022,
 * "Mixture-of-experts with expert choice routing"). A token's choice depends on later tokens, so it is no router for decoding. k = E, and slot
 * e is expert e or empty. Ties go to the earlier token.
 */
export class ExpertChoiceRouter implements Router {
  readonly rowWise = false;
  readonly capacityFactor: number;
  readonly per: Per;

  /** @throws ConfigError if an option is out of range */
  constructor({ capacityFactor, per = "row" }: ExpertChoiceRouterOptions) {
    expectOption("ExpertChoiceRouter", "capacityFactor", capacityFactor, "a number of at least 0", capacityFactor >= 0);
    expectPer("ExpertChoiceRouter", per);
    this.capacityFactor = capacityFactor;
    this.per = per;
  }

  route(logits: Tensor, rowMask?: Tensor): Routing {
    const { backend, shape } = logits;
    const E = shape[shape.length - 1];
    const rows = sizeOf(shape.slice(0, -1));
    const groups = this.per === "batch" ? 1 : sizeOf(shape.slice(0, -2));
    const tokens = groups === 0 ? 0 : rows / groups;
    const scores = softmax(logits);
    let wished = scores;
    if (rowMask) {
      expectRowMask({ logits }, rowMask);
      // No share is negative, so padding comes last; what an expert takes of it for want of others is emptied below.
      wished = select(reshape(rowMask, [...rowMask.shape, 1]), scores, fill(backend, [], -1));
    }
    const perExpert = permute(reshape(wished, [groups, tokens, E]), [0, 2, 1]); // [G, E, T]
    const { indices } = topK(perExpert, Math.min(tokens, Math.ceil((tokens * this.capacityFactor) / E)));
    const lines = fill(backend, [groups * E], 0, { step: tokens, dtype: "i32" });
    const places = add(indices, reshape(lines, [groups, E, 1]));
    const chosen = zeros(backend, [groups * E * tokens], "u32");
    scatterRows(fill(backend, places.shape, 1, { dtype: "u32" }), places, chosen, "set");
    const keep = reshape(permute(reshape(chosen, [groups, E, tokens]), [0, 2, 1]), shape);
    const experts = add(arange(backend, E), zeros(backend, shape, "i32"));
    const routing = emptySlots({ logits, weights: scores, experts, dropped: undefined }, keep);
    return rowMask ? maskRows(routing, rowMask) : routing;
  }
}
