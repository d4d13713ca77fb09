// Sum, maximum or minimum over some axes, one after the other from the innermost: over a line, or over rows that lie one after another.
import type { DType } from "../../../core/dtype.js";
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { overNothing, reductionSteps, type Reduction, type ReductionStep } from "../../reduction-steps.js";
import { COPY, REDUCE_COLUMNS, REDUCE_ROWS } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { strided, typeCodes, whole } from "../strided.js";
import { fillWith } from "./fill.js";

const LINE_PART = 16384;
const PART_ELEMENTS = 65536;
const MIN_PART_ROWS = 64;
/** Columns that are summed at a time: they stay in the first-level cache. */
const COLUMNS = 512;

export const reduce =
  (engine: Engine): Kernels["reduce"] =>
  ([x], [y], { op }) => {
    if (sizeOf(y.shape) === 0) return;
    if (x.shape.includes(0)) return fillWith(engine, y, overNothing(op, x.dtype));
    const steps = reductionSteps(x.shape, y.shape, partLength);
    if (steps.length === 0) {
      strided(engine, COPY, [x.dtype, y.dtype], y.shape, whole(engine, y), [whole(engine, x)]);
      return;
    }
    const sizes = steps.slice(0, -1).map(({ outer, parts, inner }) => outer * parts * inner * 4);
    // Results between steps alternate between two places.
    const largest = (of: number): number => Math.max(0, ...sizes.filter((_, i) => i % 2 === of));
    const between = engine.scratch(largest(0), largest(1));
    let from = engine.at(x);
    steps.forEach((step, i) => {
      const to = i === steps.length - 1 ? engine.at(y) : between[i % 2];
      launch(engine, op, x.dtype, step, from, to);
      from = to;
    });
  };

function partLength(outer: number, n: number, inner: number): number {
  if (inner === 1) return LINE_PART;
  // Beside many columns there are tiles enough.
  return outer * inner < PART_ELEMENTS ? Math.max(MIN_PART_ROWS, Math.ceil(PART_ELEMENTS / inner)) : n;
}

function launch(engine: Engine, op: Reduction, dtype: DType, step: ReductionStep, from: number, to: number): void {
  const { outer, n, inner, length, parts } = step;
  const width = Math.min(inner, COLUMNS);
  const blocks = Math.ceil(inner / width);
  const items = outer * parts * blocks;
  const count = perTile(items, 2 * length * width + 16);
  const flip = op === "min" ? (dtype === "f32" ? 0x80000000 : 0xffffffff) : 0;
  const words = [from, to, items, count, n, length, parts, op === "sum" ? 0 : 1, typeCodes[dtype], flip];
  if (inner === 1) engine.launch(REDUCE_ROWS, Math.ceil(items / count), words);
  else engine.launch(REDUCE_COLUMNS, Math.ceil(items / count), [...words, inner, width, blocks]);
}
