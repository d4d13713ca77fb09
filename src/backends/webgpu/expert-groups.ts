// Slots sorted by the expert that they name, on the device: one workgroup per expert walks all slots, each lane a run of neighbours. Empty
// slots count as those of one more expert behind the others.
import { sizeOf } from "../../core/shape.js";
import type { DType } from "../../core/dtype.js";
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import type { Shader } from "./shader.js";

/** Lanes of a shader with {@link ownSlots}. */
export const GROUP_LANES = 128;

/**
 * For shaders that read `chosen`, the experts of slots as u32, and have the param `experts`, their number. `fn expert_of(slot)`, which is that
 * number for an empty slot. `fn own_slots(lane, expert, first, count)` looks at `count` slots from `first`: this lane's run of them, how many
 * of the expert's lie before that run, how many there are, and how many belong to earlier experts. Uniform control flow, once.
 */
export const ownSlots: string = `
struct OwnSlots { begin: u32, end: u32, before: u32, count: u32, earlier: u32 }
var<workgroup> tallies: array<vec2u, ${GROUP_LANES}>;
fn expert_of(slot: u32) -> u32 { return min(chosen_at(slot), params.experts); }
fn own_slots(lane: u32, expert: u32, first: u32, count: u32) -> OwnSlots {
  let run = (count + LANES - 1u) / LANES;
  let begin = first + min(lane * run, count);
  let end = first + min((lane + 1u) * run, count);
  var tally = vec2u();
  for (var slot = begin; slot < end; slot++) {
    let other = expert_of(slot);
    tally += vec2u(u32(other == expert), u32(other < expert));
  }
  tallies[lane] = tally;
  workgroupBarrier();
  var before = 0u;
  var all = vec2u();
  for (var i = 0u; i < LANES; i++) {
    before += select(0u, tallies[i].x, i < lane);
    all += tallies[i];
  }
  return OwnSlots(begin, end, before, all.x, all.y);
}`;

/**
 * `table` holds, in words: where each expert's slots begin, [experts + 2]; tiles of rows of one expert, four words each; the slots in order.
 */
export interface ExpertGroups {
  readonly table: View;
  /** Of a tile, at most: 8, 16 or 32. */
  readonly tileRows: number;
  /** Enough for any choice of experts; those behind the last row of an expert have none. */
  readonly tiles: number;
  /** Of a shader that reads the table, in the order of {@link groupParams}. */
  readonly numbers: readonly number[];
}

export const groupParams: Readonly<Record<string, DType>> = { experts: "u32", first_tile: "u32", first_slot: "u32" };

/**
 * For shaders that read `groups`, the table. `fn tile_at(i) -> vec4u`: expert, first and last + 1 of its rows in order; the expert is
 * `params.experts` for empty slots. `fn slot_at(i) -> u32`: the slot of row i in order.
 */
export const groupReaders = `
fn tile_at(i: u32) -> vec4u { return groups_vec(params.first_tile + 4u * i); }
fn slot_at(i: u32) -> u32 { return groups_at(params.first_slot + i); }`;

// Expert e's tiles have room from floor(start / tile_rows) + e on: what comes before it needs no more.
const shader: Shader = {
  name: "group-slots",
  reads: { chosen: "u32" },
  writes: { groups: "u32" },
  params: { ...groupParams, slots: "u32", tile_rows: "u32" },
  lanes: GROUP_LANES,
  code: `
${ownSlots}
fn run(expert: u32, lane: u32) {
  let own = own_slots(lane, expert, 0u, params.slots);
  let end = own.earlier + own.count;
  if (lane == 0u) {
    groups_set(expert, own.earlier);
    if (expert == params.experts) { groups_set(expert + 1u, end); }
  }
  let first_tile = own.earlier / params.tile_rows + expert;
  let end_tile = end / params.tile_rows + expert + 1u;
  for (var tile = first_tile + lane; tile < end_tile; tile += LANES) {
    let begin = min(own.earlier + (tile - first_tile) * params.tile_rows, end);
    groups_set_vec(params.first_tile + 4u * tile, vec4u(expert, begin, min(begin + params.tile_rows, end), 0u));
  }
  var to = params.first_slot + own.earlier + own.before;
  for (var slot = own.begin; slot < own.end; slot++) {
    if (expert_of(slot) == expert) { groups_set(to, slot); to++; }
  }
}`,
};

export function groupSlots(engine: Engine, experts: View, numExperts: number): ExpertGroups {
  const slots = sizeOf(experts.shape);
  // Tiles that an expert's usual share of the slots would not fill waste the arithmetic of what is missing.
  const tileRows = [8, 16].find((few) => slots <= few * numExperts) ?? 32;
  const tiles = Math.floor(slots / tileRows) + numExperts + 1;
  const firstTile = Math.ceil((numExperts + 2) / 4) * 4;
  const firstSlot = firstTile + 4 * tiles;
  const table = engine.scratch("u32", firstSlot + slots);
  const numbers = [numExperts, firstTile, firstSlot];
  engine.dispatch(shader, [experts, table], [...numbers, slots, tileRows], numExperts + 1);
  return { table, tileRows, tiles, numbers };
}
