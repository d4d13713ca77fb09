// Judges computed numbers by a golden folder's tolerance.
import type { Computed } from "./computed.js";
import type { Expected, Fixture } from "./fixture.js";

export interface Verdict {
  readonly name: string;
  readonly passed: boolean;
  /** Largest difference to the f64 value. */
  readonly difference: number;
  readonly allowed: number;
}

/** What is judged: the expected numbers, and which tokens of the stages are no padding. */
export type Judged = Pick<Fixture, "expected" | "attentionMask">;

/** One verdict per tensor, in the folder's order; the first that did not pass names the first wrong stage. */
export function compare(fixture: Judged, computed: Computed): readonly Verdict[] {
  return fixture.expected.map((expected) => judge(expected, computed.get(expected.name), fixture));
}

/** 4 times what plain f32 arithmetic loses on this model, and 8 units in the last place of the largest element. */
function judge(
  { name, distance, shape, values }: Expected,
  found: ArrayLike<number> | undefined,
  fixture: Judged,
): Verdict {
  const counts = rowsThatCount(name, shape, fixture);
  let largest = 0;
  let difference = found?.length === values.length ? 0 : Infinity;
  for (let i = 0; found && i < values.length; i++) {
    if (!counts(i)) continue;
    largest = Math.max(largest, Math.abs(values[i]));
    const apart = Math.abs(found[i] - values[i]);
    difference = Number.isNaN(apart) ? Infinity : Math.max(difference, apart);
  }
  const ulp = largest === 0 ? 0 : 2 ** (Math.floor(Math.log2(largest)) - 23);
  const allowed = 4 * distance + 8 * ulp;
  // Indices are right or wrong.
  const passed = name.endsWith(".mlp.experts") ? difference === 0 : difference <= allowed;
  return { name, passed, difference, allowed };
}

/** Stages have a row per token, of which padding is not compared. */
function rowsThatCount(
  name: string,
  shape: readonly number[],
  { attentionMask }: Judged,
): (element: number) => boolean {
  if (!name.startsWith("stage.")) return () => true;
  const width = shape.slice(2).reduce((size, extent) => size * extent, 1);
  return (element) => attentionMask[Math.floor(element / width)] !== 0;
}
