// The k largest of each row: by counting in short rows, the first alone by reductions, else by sorted runs that are merged.
import { rowsOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { COUNTED, counting, firsts, merging, SORTED, sorting, WAYS, type Result } from "../ranking.js";

const LANES = 256;
/** Elements of a row of which a workgroup finds the first. */
const PART = 4096;

export const topK =
  (engine: Engine): Kernels["topK"] =>
  ([x], [values, indices], { k }) => {
    const { rows, width: n } = rowsOf(x.shape);
    if (k === 0 || rows === 0) return;
    if (n <= COUNTED) engine.dispatch(counting(n <= 64 ? 64 : 256), [x, values, indices], [n, k], rows);
    else if (k === 1) first(engine, rows, n, x, [values, indices]);
    else sorted(engine, { rows, n, k }, x, [values, indices]);
  };

function first(engine: Engine, rows: number, n: number, x: View, outputs: readonly View[]): void {
  const { subgroups } = engine.abilities;
  const parts = Math.ceil(n / PART);
  const shader = (from: "all" | "found", result: Result) => firsts(JSON.stringify({ from, result, subgroups }));
  if (parts === 1) return engine.dispatch(shader("all", "last"), [x, ...outputs], [n, n, n, 1], rows);
  const found = engine.scratch("u32", rows, parts);
  engine.dispatch(shader("all", "between"), [x, found], [n, n, PART, parts], rows * parts);
  engine.dispatch(shader("found", "last"), [x, found, ...outputs], [n, parts, parts, 1], rows);
}

interface Sizes {
  readonly rows: number;
  readonly n: number;
  readonly k: number;
}

function sorted(engine: Engine, { rows, n, k }: Sizes, x: View, outputs: readonly View[]): void {
  let span = Math.min(SORTED, 2 ** Math.ceil(Math.log2(n)));
  let runs = Math.ceil(n / span);
  /** Where runs go: the result is the last one. */
  const target = (): readonly View[] => (runs === 1 ? outputs : [engine.scratch("u32", rows, runs, Math.min(k, span))]);
  const result = (): Result => (runs === 1 ? "last" : "between");
  let found = target();
  engine.dispatch(sorting(JSON.stringify({ chunk: span, result: result() })), [x, ...found], [n, k, runs], rows * runs);
  while (runs > 1) {
    const elements = rows * runs * Math.min(k, span);
    const numbers = [elements, n, k, span, runs];
    const from = found;
    span *= WAYS;
    runs = Math.ceil(n / span);
    found = target();
    engine.dispatch(merging(result()), [x, ...from, ...found], numbers, Math.ceil(elements / LANES));
  }
}
