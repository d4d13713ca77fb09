// Tokens that everybody sees whatever the window, and that see everybody: those the caller names, or the ends of paragraphs.
import { ConfigError, IndexError, ShapeError } from "../core/errors.js";
import type { Positions } from "./positions.js";

/**
 * The same positions with some tokens global: within their segment they are seen by all later tokens whatever the window, and see all earlier
 * ones (where not causal: all). On padding a mark means nothing.
 * @param globals per batch row the columns of its global tokens, as {@link paragraphTokens} gives them
 * @throws ShapeError unless there is one list per row, IndexError if a column does not exist
 */
export function markGlobal(positions: Positions, globals: readonly ArrayLike<number>[]): Positions {
  const [batch, tokens] = positions.shape;
  if (globals.length !== batch)
    throw new ShapeError(`markGlobal: there must be ${batch} lists of columns, one per row, got ${globals.length}`);
  const segment = positions.segment.slice();
  globals.forEach((columns, row) => {
    for (const column of Array.from(columns)) {
      if (!Number.isInteger(column) || column < 0 || column >= tokens)
        throw new IndexError(`markGlobal: columns must be integers of 0 to ${tokens - 1}, got ${column} in row ${row}`);
      const at = row * tokens + column;
      if (segment[at] >= 0) segment[at] = ~segment[at];
    }
  });
  return { ...positions, segment };
}

export interface ParagraphOptions {
  /** The ids of each text that ends a paragraph, such as those of two line feeds. */
  readonly separators: readonly (readonly number[])[];
  /** Columns before it are read, but not given: what a cache already holds. 0 unless given. */
  readonly from?: number;
}

/**
 * The first token of each paragraph, and the last one of each separator, which has read all of the paragraph; both follow from the ids up to
 * that token, so a text that is read in parts has the same ones. The end of the text ends no paragraph.
 * @param ids of one row, from the start of the text
 * @returns columns less `from`, ascending
 * @throws ConfigError if a separator is empty
 */
export function paragraphTokens(ids: ArrayLike<number>, { separators, from = 0 }: ParagraphOptions): number[] {
  if (separators.some((separator) => separator.length === 0))
    throw new ConfigError("paragraphTokens: a separator must have at least one id, got an empty one");
  const endsAt = (at: number): boolean =>
    separators.some((separator) => separator.every((id, i) => ids[at - separator.length + 1 + i] === id));
  return Array.from({ length: Math.max(0, ids.length - from) }, (_, i) => i).filter((i) => {
    const at = from + i;
    return at === 0 || endsAt(at) || endsAt(at - 1);
  });
}
