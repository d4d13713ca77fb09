// The launches of kernels that treat rows, or single elements, one like the other: how many of them a tile takes follows from their work.
import { perTile, type Engine } from "./engine.js";

/** A tile takes whole rows. Words of the command: rows, rows per tile, width, then `words`. */
export function launchRows(
  engine: Engine,
  code: number,
  { rows, width }: { readonly rows: number; readonly width: number },
  operationsPerElement: number,
  words: readonly number[],
  numbers?: readonly number[],
): void {
  if (rows * width === 0) return;
  const per = perTile(rows, width * operationsPerElement);
  engine.launch(code, Math.ceil(rows / per), [rows, per, width, ...words], numbers);
}

/** Neighbours that belong to one tile: four cache lines. */
const RUN = 64;

/** A tile takes runs of elements. Words of the command: elements, elements per tile, then `words`. */
export function launchElements(
  engine: Engine,
  code: number,
  count: number,
  operationsPerElement: number,
  words: readonly number[],
  numbers?: readonly number[],
): void {
  const per = perTile(Math.ceil(count / RUN), RUN * operationsPerElement) * RUN;
  engine.launch(code, Math.ceil(count / per), [count, per, ...words], numbers);
}
