// Statistics over time: what a run's routers did, step by step, as columns for a plot.
import type { Tensor } from "../tensor/tensor.js";
import type { Routing } from "./router.js";
import { routingStatistics, type RoutingStatistics } from "./routing-statistics.js";

export interface RoutingRecord extends RoutingStatistics {
  readonly step: number;
  /** The model's layer; dense ones have no records. */
  readonly layer: number;
}

/** The statistics that are one number per layer and step. */
export type RoutingCurve = {
  [K in keyof RoutingStatistics]: RoutingStatistics[K] extends number ? K : never;
}[keyof RoutingStatistics];

/** x and y of a line. */
export interface RoutingSeries {
  readonly steps: readonly number[];
  readonly values: readonly number[];
}

/** Grows by one record per layer with every `add`; a run that wants less adds every n-th step. */
export class RoutingHistory {
  readonly #records: RoutingRecord[] = [];

  /** In the order of being added, layers ascending. */
  get records(): readonly RoutingRecord[] {
    return this.#records;
  }

  /**
   * Reads back the statistics of a step. The routings must live until it is done.
   * @param routings by layer, as `Qwen3.forward` collects them @param rowMask as {@link routingStatistics} takes it
   */
  async add(step: number, routings: ReadonlyMap<number, Routing>, rowMask?: Tensor): Promise<void> {
    const layers = [...routings].sort(([a], [b]) => a - b);
    const records = await Promise.all(
      layers.map(async ([layer, routing]) => ({ step, layer, ...(await routingStatistics(routing, rowMask)) })),
    );
    this.#records.push(...records);
  }

  /** One number of one layer over the steps; empty if the layer has no records. */
  series(layer: number, curve: RoutingCurve): RoutingSeries {
    const records = this.#records.filter((record) => record.layer === layer);
    return { steps: records.map(({ step }) => step), values: records.map((record) => record[curve]) };
  }
}
