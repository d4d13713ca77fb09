// How far numbers that were rounded to codes may lie from those the oracle chose, from the bounds of what was rounded and of the scale.
import { rowsOf, type Shape } from "../../../core/shape.js";
import { f16ToF32, f32ToF16 } from "../../../quant/schemes/float-codes.js";
import { decode, type Scheme } from "../../../quant/schemes/scheme.js";
import type { Numbers } from "../cells.js";
import type { Profile } from "../profile.js";
import { SMALLEST_NORMAL } from "../float32.js";

/** Codes in blocks under one f16 scale d = extreme / divisor; code = round(x / d), a rising function of x / d. */
interface BlockRule {
  readonly divisor: number;
  readonly round: (scaled: number) => number;
  /** The greatest sum that the rule makes of a scaled number before it is cut off; it is rounded too. */
  readonly shift: number;
  /** Whether the extreme keeps its sign, which then decides the sign of d. */
  readonly signed: boolean;
}

const blockRules: Readonly<Record<string, BlockRule>> = {
  q8_0: {
    divisor: 127,
    round: (scaled) => Math.min(Math.max(Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5), -127), 127),
    shift: 0,
    signed: false,
  },
  q4_0: {
    divisor: -8,
    round: (scaled) => Math.min(Math.max(Math.floor(scaled + 8.5), 0), 15) - 8,
    shift: 16.5,
    signed: true,
  },
};

/**
 * For each element the greatest distance between the number that its code stands for here and the one it may stand for elsewhere. Infinity
 * for schemes whose rule is not known here, unless their operand is exact and all steps are correctly rounded.
 */
export function codeSpreads(scheme: Scheme, x: Numbers, shape: Shape, profile: Profile): Float64Array {
  const spreads = new Float64Array(x.value.length);
  if (profile.specials && x.bound.every((bound) => bound === 0)) return spreads;
  const value = Float32Array.from(x.value);
  const chosen = decode(scheme, scheme.encode(value, shape), shape);
  if (scheme.parts.length === 1) {
    if (x.bound.every((bound) => bound === 0)) return spreads; // a rounding of bits, the same on every device
    const [below, above] = [-1, 1].map((sign) => Float32Array.from(x.value, (number, i) => number + sign * x.bound[i]));
    const [low, high] = [below, above].map((moved) => decode(scheme, scheme.encode(moved, shape), shape));
    return spreads.map((_, i) => apart(chosen[i], low[i], high[i]));
  }
  const rule = Object.hasOwn(blockRules, scheme.name) ? blockRules[scheme.name] : undefined;
  if (!rule) return spreads.fill(Infinity);
  const { rows, width } = rowsOf(shape);
  for (let row = 0; row < rows; row++) {
    for (let from = row * width; from < (row + 1) * width; from += scheme.block) {
      blockSpreads(rule, x, from, Math.min(from + scheme.block, (row + 1) * width), profile, chosen, spreads);
    }
  }
  return spreads;
}

const apart = (chosen: number, low: number, high: number): number => {
  const spread = Math.max(Math.abs(high - chosen), Math.abs(low - chosen));
  return Number.isNaN(spread) ? Infinity : spread;
};

function blockSpreads(
  rule: BlockRule,
  { value, bound }: Numbers,
  from: number,
  to: number,
  profile: Profile,
  chosen: Float32Array,
  spreads: Float64Array,
): void {
  let [least, most] = [0, 0];
  for (let i = from; i < to; i++) {
    least = Math.max(least, Math.abs(value[i]) - bound[i]);
    most = Math.max(most, Math.abs(value[i]) + bound[i]);
  }
  if (most === 0) return;
  // The signs that the extreme may have: those of the elements that may reach the greatest magnitude.
  const signs = new Set<number>();
  for (let i = from; i < to; i++) {
    if (!(Math.abs(value[i]) + bound[i] >= least)) continue;
    if (value[i] + bound[i] > 0) signs.add(1);
    if (value[i] - bound[i] < 0) signs.add(-1);
  }
  // Rounding of d, then of 1 / d and of x (1 / d): the quotient's error each time, and a product's.
  const slack = profile.division(2, 1) / 2 + profile.unit;
  const lost = profile.flushes ? SMALLEST_NORMAL : 0;
  for (const sign of rule.signed ? signs : [1]) {
    const small = (least / Math.abs(rule.divisor)) * (1 - slack) - lost;
    const large = (most / Math.abs(rule.divisor)) * (1 + slack);
    const direction = sign * Math.sign(rule.divisor);
    const scales = [small, large].map((d) => direction * f16ToF32(f32ToF16(Math.max(d, 0))));
    for (let i = from; i < to; i++) {
      // Where 1 / d overflows or vanishes, any code may come out.
      const vague = small <= 2 ** -126;
      const ends = [value[i] - bound[i], value[i] + bound[i]].flatMap((x) =>
        [small, large].map((d) => x / (direction * d)),
      );
      const reach = (scaled: number): number => Math.abs(scaled) * 3 * slack + rule.shift * profile.unit;
      const top = vague ? Infinity : Math.max(...ends.map((scaled) => scaled + reach(scaled)));
      const bottom = vague ? -Infinity : Math.min(...ends.map((scaled) => scaled - reach(scaled)));
      const [low, high] = [rule.round(bottom), rule.round(top)];
      const numbers = [low, high].flatMap((code) => scales.map((scale) => code * scale));
      const spread = apart(chosen[i], Math.min(...numbers), Math.max(...numbers));
      // Codes in doubt that stand for the same number still make the words differ.
      spreads[i] = Math.max(spreads[i], spread, low === high && scales[0] === scales[1] ? 0 : 2 ** -149);
    }
  }
}
