// Sum, maximum or minimum over some axes, one after the other from the innermost: over a line, or over rows that lie one after another.
import type { DType } from "../../../core/dtype.js";
import { sizeOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { overNothing, reductionSteps, type Reduction, type ReductionStep } from "../../reduction-steps.js";
import { wordOf } from "../constants.js";
import type { Engine } from "../engine.js";
import { lanesOf } from "../rows.js";
import { variants, type Shader } from "../shader.js";
import { copy, strided, whole } from "../strided.js";
import { joined } from "../wgsl.js";
import { fillWith } from "./fill.js";

const LANES = 256;
/** Workgroups that keep a device busy: where there are so many, nothing is cut into parts. */
const ENOUGH = 256;
const LINE_PART = 8192;
/** Up to so many numbers are a lane's alone. */
const SHORT_LINE = 16;
const PART_ELEMENTS = 16384;
/** Of a tile, in columns or in fours of them. */
const TILE = 64;

/** What a shader is made for. */
interface Form {
  readonly op: Reduction;
  readonly dtype: DType;
  readonly fours: boolean;
  /** Lanes beside each other: those of a line, or the columns of a tile. */
  readonly beside: number;
  readonly subgroups: boolean;
}

const combining =
  (op: Reduction) =>
  (a: string, b: string): string =>
    op === "sum" ? `${a} + ${b}` : `${op}(${a}, ${b})`;

const lines = variants((key: string): Shader => {
  const { op, dtype, fours, beside, subgroups } = JSON.parse(key) as Form;
  const combine = combining(op);
  const alone = beside === 1;
  const own = fours ? combine(`(${combine("total.x", "total.y")})`, `(${combine("total.z", "total.w")})`) : "total";
  return {
    name: `reduce-lines-${op}`,
    reads: { x: dtype },
    writes: { y: dtype },
    params: { lines: "u32", n: "u32", length: "u32", parts: "u32", nothing: "u32" },
    lanes: alone ? LANES : beside,
    code: `
alias Numbers = ${fours ? `vec4<${dtype}>` : dtype};
const STEP = ${fours ? 4 : 1}u;
const SEGMENT = ${beside}u;
${alone ? "" : joined({ name: "all_of", type: dtype, combine, lanes: beside, subgroups })}
fn run(group: u32, lane: u32) {
  let line = group * (LANES / SEGMENT) + lane / SEGMENT;
  let start = line % params.parts * params.length;
  let first = line / params.parts * params.n + start;
  let end = select(0u, min(params.length, params.n - start), line < params.lines);
  var total = Numbers(bitcast<${dtype}>(params.nothing));
  for (var i = lane % SEGMENT * STEP; i < end; i += SEGMENT * STEP) {
    total = ${combine("total", fours ? "x_vec(first + i)" : "x_at(first + i)")};
  }
  let all = ${alone ? own : `all_of(lane, ${own})`};
  if (lane % SEGMENT == 0u && line < params.lines) { y_set(line, all); }
}`,
  };
});

const columns = variants((key: string): Shader => {
  const { op, dtype, fours, beside } = JSON.parse(key) as Form;
  const combine = combining(op);
  return {
    name: `reduce-columns-${op}`,
    reads: { x: dtype },
    writes: { y: dtype },
    params: { n: "u32", length: "u32", parts: "u32", nothing: "u32", inner: "u32", tiles: "u32" },
    lanes: LANES,
    code: `
alias Numbers = ${fours ? `vec4<${dtype}>` : dtype};
const BESIDE = ${beside}u;
var<workgroup> shared_totals: array<Numbers, LANES>;
fn run(group: u32, lane: u32) {
  let column = (group % params.tiles * BESIDE + lane % BESIDE) * ${fours ? 4 : 1}u;
  let to = group / params.tiles;
  let start = to % params.parts * params.length;
  let rows = select(0u, min(params.length, params.n - start), column < params.inner);
  let first = (to / params.parts * params.n + start) * params.inner + column;
  var total = Numbers(bitcast<${dtype}>(params.nothing));
  for (var row = lane / BESIDE; row < rows; row += LANES / BESIDE) {
    total = ${combine("total", `x_${fours ? "vec" : "at"}(first + row * params.inner)`)};
  }
  shared_totals[lane] = total;
  workgroupBarrier();
  if (lane >= BESIDE || column >= params.inner) { return; }
  for (var i = BESIDE; i < LANES; i += BESIDE) { total = ${combine("total", "shared_totals[lane + i]")}; }
  y_${fours ? "set_vec" : "set"}(to * params.inner + column, total);
}`,
  };
});

export const reduce =
  (engine: Engine): Kernels["reduce"] =>
  ([x], [y], { op }) => {
    if (sizeOf(y.shape) === 0) return;
    if (x.shape.includes(0)) return fillWith(engine, y, overNothing(op, x.dtype));
    const steps = reductionSteps(x.shape, y.shape, partLength);
    if (steps.length === 0) return strided(engine, copy, y.shape, whole(y), [whole(x)]);
    let from = x;
    steps.forEach((step, i) => {
      const to = i === steps.length - 1 ? y : engine.scratch(x.dtype, step.outer * step.parts * step.inner);
      launch(engine, op, step, from, to);
      from = to;
    });
  };

/** Columns that a tile has beside each other. */
const besideOf = (inner: number): number => Math.min(TILE, 2 ** Math.ceil(Math.log2(inner)));

function partLength(outer: number, n: number, inner: number): number {
  const groups = outer * Math.ceil(inner / TILE);
  if (groups >= ENOUGH) return n;
  return inner === 1 ? LINE_PART : PART_ELEMENTS / besideOf(inner);
}

function launch(engine: Engine, op: Reduction, step: ReductionStep, x: View, y: View): void {
  const { outer, n, inner, length, parts } = step;
  const { dtype } = x;
  const { subgroups } = engine.abilities;
  const numbers = [n, length, parts, wordOf(overNothing(op, dtype), dtype)];
  if (inner === 1) {
    const alone = n <= SHORT_LINE;
    const beside = alone ? 1 : lanesOf(n);
    const form: Form = { op, dtype, fours: n % 4 === 0, beside, subgroups };
    const count = outer * parts;
    engine.dispatch(lines(JSON.stringify(form)), [x, y], [count, ...numbers], alone ? Math.ceil(count / LANES) : count);
  } else {
    const fours = inner % 4 === 0 && inner >= 4 * TILE;
    const beside = besideOf(inner);
    const tiles = Math.ceil(inner / (fours ? 4 * beside : beside));
    const form: Form = { op, dtype, fours, beside, subgroups: false };
    engine.dispatch(columns(JSON.stringify(form)), [x, y], [...numbers, inner, tiles], outer * parts * tiles);
  }
}
