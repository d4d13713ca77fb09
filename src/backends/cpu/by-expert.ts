// Tokens grouped by expert, so that an expert's weights are walked once for all slots that chose it.

/** Slots in the order of their expert: those of expert e are slots[starts[e] .. starts[e + 1]), in rising order. */
export interface ByExpert {
  readonly starts: Int32Array;
  readonly slots: Int32Array;
}

/** A counting sort of slots [from, to); a slot whose expert is -1, or none of `numExperts`, is left out. */
export function groupSlots(experts: Int32Array, from: number, to: number, numExperts: number): ByExpert {
  const starts = new Int32Array(numExperts + 1);
  for (let slot = from; slot < to; slot++) {
    const expert = experts[slot];
    if (expert >= 0 && expert < numExperts) starts[expert + 1]++;
  }
  for (let expert = 0; expert < numExperts; expert++) starts[expert + 1] += starts[expert];
  const slots = new Int32Array(starts[numExperts]);
  const next = starts.slice(0, numExperts);
  for (let slot = from; slot < to; slot++) {
    const expert = experts[slot];
    if (expert >= 0 && expert < numExperts) slots[next[expert]++] = slot;
  }
  return { starts, slots };
}

/** to[i] = row of x that slot slots[i] reads, for i in [begin, end): row slot / slotsPerRow, rounded down. */
export function gatherSlots(
  x: Float32Array,
  width: number,
  slotsPerRow: number,
  slots: Int32Array,
  begin: number,
  end: number,
): Float32Array<ArrayBuffer> {
  const to = new Float32Array((end - begin) * width);
  let at = 0;
  for (let i = begin; i < end; i++) {
    const start = Math.floor(slots[i] / slotsPerRow) * width;
    for (let j = 0; j < width; j++) to[at++] = x[start + j];
  }
  return to;
}

/** The inverse: row i of x goes to row slots[begin + i] - first of `to`. */
export function spreadSlots(
  x: Float32Array,
  width: number,
  slots: Int32Array,
  begin: number,
  end: number,
  to: Float32Array,
  first: number,
): void {
  let at = 0;
  for (let i = begin; i < end; i++) {
    const start = (slots[i] - first) * width;
    for (let j = 0; j < width; j++) to[start + j] = x[at++];
  }
}
