// How far the tokens of a text look back, and so which of the tokens before the next ones may be seen.
import { segmentOf } from "../positions.js";

export interface Sight {
  /** How many tokens a query sees, its own included; 0 means all. */
  readonly window: number;
  /** The first positions of the text, which stay visible. */
  readonly sinks: number;
  /** Whether a token that leaves the window for good gives its slot back. */
  readonly forgets: boolean;
}

/** A token that comes. */
export interface NextToken {
  readonly position: number;
  /** `~segment` for a global token. */
  readonly segment: number;
}

/** Before all positions. */
export const everything: number = -Infinity;

/**
 * By segment, the first position that one of the tokens sees besides sinks and global ones. A global token sees all before it, except where
 * tokens are forgotten: there it sees what any token sees, lest it depend on how the text was cut.
 */
export function reachOf(next: readonly NextToken[], { window, forgets }: Sight): ReadonlyMap<number, number> {
  const reach = new Map<number, number>();
  for (const { position, segment } of next) {
    const from = segment < 0 && !forgets ? everything : position - window + 1;
    const of = segmentOf(segment);
    reach.set(of, Math.min(from, reach.get(of) ?? from));
  }
  return reach;
}
