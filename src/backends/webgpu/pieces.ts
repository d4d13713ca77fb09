// Work in as many pieces as it takes for each to fit the bindings of a dispatch.
import type { View } from "../../core/view.js";
import type { Engine } from "./engine.js";
import { MAX_WINDOWS } from "./pipelines.js";

/** Some elements of a view. */
export const part = (view: View, first: number, count: number): View => ({
  ...view,
  offset: view.offset + first,
  shape: [count],
});

/**
 * Runs `count` items that do not depend on each other, half by half where all at once bind too much: a half shows less of each view, until
 * each is bound in one piece.
 */
export function inPieces(
  engine: Engine,
  count: number,
  viewsOf: (first: number, count: number) => readonly View[],
  run: (views: readonly View[], count: number, first: number) => void,
): void {
  const piece = (first: number, items: number): void => {
    const views = viewsOf(first, items);
    if (items < 2 || engine.bindings(...views) <= MAX_WINDOWS) return run(views, items, first);
    // Pieces begin at a multiple of four items, so that none loses the access by vectors to the cut.
    const half = items < 8 ? Math.floor(items / 2) : Math.floor(items / 8) * 4;
    piece(first, half);
    piece(first + half, items - half);
  };
  piece(0, count);
}
