// Slots in the order of their expert, so that an expert's weights are read once for all slots that chose it.
import { ITEM_BYTES } from "../layout";
import { word } from "./command";


/**
 * A stable counting sort; a slot whose expert is none of E goes to the end, as if to an expert E. Words: experts, slots, E, slots per row
 * of the input; then what is written: ends[E + 1], where an expert's slots end in the order; order[slots]; sources[slots], the input row
 * of each slot in that order; items, their number first; slots per item at most.
 */
export function groupTile(command: usize): void {
  const experts = word(command, 0) as usize, slots = word(command, 1), bins = word(command, 2) + 1, perRow = word(command, 3);
  const ends = word(command, 4) as usize, order = word(command, 5) as usize, sources = word(command, 6) as usize;
  const items = word(command, 7) as usize, most = word(command, 8);
  memory.fill(ends, 0, bins << 2);
  for (let slot: u32 = 0; slot < slots; slot++) {
    const at = ends + (min(load<u32>(experts + (slot << 2)), bins - 1) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let begin: u32 = 0, found: u32 = 0;
  for (let bin: u32 = 0; bin < bins; bin++) {
    const count = load<u32>(ends + (bin << 2));
    store<u32>(ends + (bin << 2), begin); // until the slots are placed: where the next one goes
    for (let from: u32 = 0; from < count; from += most) {
      const item = items + 4 + found * ITEM_BYTES;
      store<u32>(item, bin);
      store<u32>(item, begin + from, 4);
      store<u32>(item, min(most, count - from), 8);
      found++;
    }
    begin += count;
  }
  store<u32>(items, found);
  let row: u32 = 0, place: u32 = 0;
  for (let slot: u32 = 0; slot < slots; slot++) {
    const at = ends + (min(load<u32>(experts + (slot << 2)), bins - 1) << 2);
    const to = load<u32>(at);
    store<u32>(at, to + 1);
    store<u32>(order + (to << 2), slot);
    store<u32>(sources + (to << 2), row);
    if (++place == perRow) {
      place = 0;
      row++;
    }
  }
}

/** The address of item i, or 0 if there are not so many. */
export function itemAt(items: usize, i: u32): usize {
  return i < load<u32>(items) ? items + 4 + i * ITEM_BYTES : 0;
}

export function expertOf(item: usize): u32 {
  return load<u32>(item);
}

export function beginOf(item: usize): u32 {
  return load<u32>(item, 4);
}

export function countOf(item: usize): u32 {
  return load<u32>(item, 8);
}

/** Words: experts, counts, ranks, groups, slots of a group, E, groups per tile. */
export function rankTile(command: usize, tile: u32): void {
  const width = word(command, 4), numExperts = word(command, 5), perTile = word(command, 6);
  const last = min(word(command, 3), (tile + 1) * perTile);
  for (let group = tile * perTile; group < last; group++) {
    const experts = (word(command, 0) as usize) + ((group * width) << 2);
    const counts = (word(command, 1) as usize) + ((group * numExperts) << 2);
    const ranks = (word(command, 2) as usize) + ((group * width) << 2);
    memory.fill(counts, 0, numExperts << 2);
    for (let i: u32 = 0; i < width; i++) {
      const expert = load<u32>(experts + (i << 2));
      let rank: u32 = -1;
      if (expert < numExperts) {
        const at = counts + (expert << 2);
        rank = load<u32>(at);
        store<u32>(at, rank + 1);
      }
      store<u32>(ranks + (i << 2), rank);
    }
  }
}
