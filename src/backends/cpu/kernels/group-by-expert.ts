// How many slots of each group chose each expert, and a slot's place among those of its expert in its group (-1 if it is empty).
import type { Kernel } from "../../backend.js";
import { ints } from "../read.js";

export const groupByExpert: Kernel<"groupByExpert", void> = ([experts], [counts, rank], { numExperts }) => {
  const [groups, width] = experts.shape;
  const chosen = ints(experts);
  const count = ints(counts);
  const place = ints(rank);
  count.fill(0);
  for (let group = 0; group < groups; group++) {
    for (let i = group * width; i < (group + 1) * width; i++) {
      const expert = chosen[i];
      place[i] = expert >= 0 && expert < numExperts ? count[group * numExperts + expert]++ : -1;
    }
  }
};
