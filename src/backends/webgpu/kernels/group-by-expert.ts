// How many slots of each group chose each expert, and a slot's place among those of its expert in its group (-1 if it is empty).
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { GROUP_LANES, ownSlots } from "../expert-groups.js";
import type { Shader } from "../shader.js";

const shader: Shader = {
  name: "group-by-expert",
  reads: { chosen: "u32" },
  writes: { counts: "i32", rank: "i32" },
  params: { experts: "u32", slots: "u32" },
  lanes: GROUP_LANES,
  code: `
${ownSlots}
fn run(group: u32, lane: u32) {
  let outer = group / (params.experts + 1u);
  let expert = group % (params.experts + 1u);
  let own = own_slots(lane, expert, outer * params.slots, params.slots);
  let empty = expert == params.experts;
  if (lane == 0u && !empty) { counts_set(outer * params.experts + expert, i32(own.count)); }
  var place = i32(own.before);
  for (var slot = own.begin; slot < own.end; slot++) {
    if (expert_of(slot) == expert) { rank_set(slot, select(place, -1, empty)); place++; }
  }
}`,
};

export const groupByExpert =
  (engine: Engine): Kernels["groupByExpert"] =>
  ([experts], [counts, rank], { numExperts }) => {
    const [groups, slots] = experts.shape;
    engine.dispatch(shader, [experts, counts, rank], [numExperts, slots], groups * (numExperts + 1));
  };
