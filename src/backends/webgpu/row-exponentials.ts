// What softmax and cross-entropy have in common: the maximum of a row and the sum of exp(x - maximum), found in one pass.
import type { RowForm } from "./rows.js";

/** `fn exponentials(first: u32, begin: u32, end: u32, lane: u32) -> vec2f`, maximum and sum of a row of `x`. All lanes run it. */
export const exponentials = ({ get, sum, max }: RowForm): string => `
${sum}
${max}
fn exponentials(first: u32, begin: u32, end: u32, lane: u32) -> vec2f {
  var most = -3.4028234663852886e38;
  var total = 0.0;
  for (var i = begin; i < end; i += STRIDE) {
    let x = x${get}(first + i);
    let next = max(most, across_max(x));
    // What was summed so far gets the new maximum.
    total = total * exp(most - next) + across_sum(exp(x - next));
    most = next;
  }
  let highest = all_max(lane, most);
  return vec2f(highest, all_sum(lane, total * exp(most - highest)));
}`;
