// Any layer as one expert of a mixture. What it does is unknown, so it cannot skip rows by itself: it runs on all of them, or on as many as a
// capacity leaves room for.
import { ConfigError } from "../core/errors.js";
import { add, mul } from "../ops/binary.js";
import { expectShape } from "../ops/expect.js";
import { arange, fill, zeros } from "../ops/fill.js";
import { gatherRows } from "../ops/gather-rows.js";
import { groupByExpert } from "../ops/group-by-expert.js";
import { max } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { scatterRows } from "../ops/scatter-rows.js";
import { select } from "../ops/select.js";
import { expectOption } from "../routing/expect-option.js";
import type { Tensor } from "../tensor/tensor.js";
import { isFilled, shareOf, type ExpertGroup, type GroupCall } from "./expert-group.js";
import type { Layer } from "./layer.js";

export interface LayerExpertOptions {
  /** See {@link ExpertGroup.capacityFactor}. Without it the layer runs on all rows, and counts only where it was chosen. */
  readonly capacityFactor?: number;
}

/**
 * One expert that is a layer of your own. It must treat rows alike and apart, since it gets [R, D] in any order: no attention.
 *
 * Cost: the layer on all R rows of a call, E / k times what a packed expert of its size costs; with a capacity, on B ceil(T k factor / E) rows,
 * filled or not.
 */
export class LayerExpert implements ExpertGroup {
  readonly numExperts = 1;
  readonly layer: Layer;
  readonly capacityFactor?: number;

  /** @throws ConfigError if there is no layer, or the factor is negative */
  constructor(layer: Layer, { capacityFactor }: LayerExpertOptions = {}) {
    if (typeof layer?.forward !== "function") {
      throw new ConfigError(`LayerExpert: a layer with forward(x) must be given, got ${typeof layer}`);
    }
    this.layer = layer;
    if (capacityFactor === undefined) return;
    expectOption("LayerExpert", "capacityFactor", capacityFactor, "a number of at least 0", capacityFactor >= 0);
    this.capacityFactor = capacityFactor;
  }

  /** @throws ShapeError if the layer gives another shape than it was given */
  forward(x: Tensor, experts: Tensor, weights: Tensor, { batch, capacity }: GroupCall): Tensor {
    const share = shareOf(experts, weights);
    if (capacity === undefined) {
      // Chosen, not multiplied by 0: of a row that is not the layer's it may make anything.
      const mine = max(isFilled(experts));
      return mul(select(mine, this.#run(x), fill(x.backend, [], 0)), share);
    }
    const [rows, slots] = experts.shape;
    if (batch * capacity === 0) return zeros(x.backend, x.shape);
    const { rank } = groupByExpert(reshape(experts, [batch, (rows / batch) * slots]), 1);
    const starts = fill(x.backend, [batch], 0, { step: capacity, dtype: "i32" });
    const places = select(isFilled(rank), add(rank, reshape(starts, [batch, 1])), rank);
    // i32 [R]: where the layer finds the row; -1 where it does not see it.
    const place = reshape(max(reshape(places, [rows, slots])), [rows]);
    const source = fill(x.backend, [batch * capacity], -1, { dtype: "i32" });
    scatterRows(arange(x.backend, rows), place, source, "set");
    return mul(gatherRows(this.#run(gatherRows(x, source)), place), share);
  }

  #run(x: Tensor): Tensor {
    const y = this.layer.forward(x);
    expectShape("LayerExpert", "what the layer gives", y, x.shape, "the shape of its input");
    return y;
  }
}
