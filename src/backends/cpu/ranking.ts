// The order of topK and route: descending, equal values by index, NaN last.
import type { Elements } from "../../core/dtype.js";

/** Up to this k, inserting into a sorted list beats sorting everything: almost all candidates fail the first comparison. */
const MAX_INSERTIONS = 256;

/** Indices (from 0) of the k largest of x[at..at + n), best first, into `indices` from `to` on. */
export function rankLargest(x: Elements, at: number, n: number, k: number, indices: Int32Array, to: number): void {
  if (k > MAX_INSERTIONS) {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    order.sort((a, b) => (precedes(x[at + a], x[at + b]) ? -1 : precedes(x[at + b], x[at + a]) ? 1 : a - b));
    for (let j = 0; j < k; j++) indices[to + j] = order[j];
    return;
  }
  if (k === 0) return;
  let filled = 0;
  let last = NaN; // the value in place k - 1, once there is one
  for (let i = 0; i < n; i++) {
    const value = x[at + i];
    if (filled === k && !precedes(value, last)) continue;
    let place = filled < k ? filled++ : k - 1;
    // An equal value stays behind those that came earlier: ties go to the lower index.
    while (place > 0 && precedes(value, x[at + indices[to + place - 1]])) {
      indices[to + place] = indices[to + place - 1];
      place--;
    }
    indices[to + place] = i;
    if (filled === k) last = x[at + indices[to + k - 1]];
  }
}

function precedes(a: number, b: number): boolean {
  return a > b || (b !== b && a === a);
}
