// The pieces of running error analysis: what one rounding may add, what a sum in any order may add, and when nothing can be said any more.
// (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.)
import { LARGEST, SMALLEST_NORMAL } from "./float32.js";
import type { Profile } from "./profile.js";

/** A bound, or Infinity ("anything goes") where f32 may overflow or the bound is no number. */
export function settled(y: number, bound: number): number {
  return Math.abs(y) + bound < LARGEST ? bound : Infinity;
}

/** What underflow may take away from a result near y. */
export function underflow(profile: Profile, y: number, spread: number): number {
  return Math.abs(y) - spread < SMALLEST_NORMAL ? profile.underflow : 0;
}

/** The bound of a correctly rounded result y whose operands' bounds alone move it by up to `spread`. */
export function rounded(profile: Profile, y: number, spread: number): number {
  const most = Math.abs(y) + spread;
  if (most === 0) return 0;
  return settled(y, spread + profile.unit * most + underflow(profile, y, spread));
}

/** The bound of a result y that is not finite: none if its operands are exact and the profile gives such numbers a meaning. */
export function unlimited(profile: Profile, exact: boolean): number {
  return profile.specials && exact ? 0 : Infinity;
}

/** What `count` roundings may add to a sum of magnitude 1: n u / (1 - n u). */
export function gamma(profile: Profile, count: number): number {
  return (count * profile.unit) / (1 - count * profile.unit);
}
