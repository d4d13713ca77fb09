// How many slots of each group chose each expert, and a slot's place among those of its expert in its group (-1 if it is empty).
import type { Kernel } from "../../backend.js";
import { RANK } from "../codes.js";
import { perTile, type Engine } from "../engine.js";

export const groupByExpert =
  (engine: Engine): Kernel<"groupByExpert", void> =>
  ([experts], [counts, rank], { numExperts }) => {
    const [groups, width] = experts.shape;
    const each = perTile(groups, 4 * width + numExperts);
    const words = [engine.at(experts), engine.at(counts), engine.at(rank), groups, width, numExperts, each];
    engine.launch(RANK, Math.ceil(groups / each), words);
  };
