// y[r] = sum of x[r, j] * weights[r, j] over the slots j, in their order.
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { variants, type Shader } from "../shader.js";

const LANES = 64;

interface SumForm {
  readonly weighted: boolean;
  /** Numbers at a time: 4 where all rows allow it, or 1. */
  readonly step: number;
}

const shaders = variants((form: string): Shader => {
  const { weighted, step } = JSON.parse(form) as SumForm;
  const [get, set, type] = step === 4 ? ["x_vec", "y_set_vec", "vec4f"] : ["x_at", "y_set", "f32"];
  return {
    name: "combine-experts",
    reads: { x: "f32", ...(weighted ? { weights: "f32" } : {}) },
    writes: { y: "f32" },
    params: { items: "u32", slots: "u32", columns: "u32", first: "u32", width: "u32" },
    lanes: LANES,
    code: `
fn run(group: u32, lane: u32) {
  let item = group * LANES + lane;
  if (item >= params.items) { return; }
  let in_row = params.columns / ${step}u;
  let row = item / in_row;
  let column = item % in_row * ${step}u;
  var sum = ${type}();
  for (var slot = row * params.slots; slot < (row + 1u) * params.slots; slot++) {
    sum += ${get}(slot * params.columns + column)${weighted ? " * weights_at(slot)" : ""};
  }
  ${set}(row * params.width + params.first + column, sum);
}`,
  };
});

/** x [rows, slots, columns] into the columns of y [rows, width] from `first` on; without weights a plain sum. */
export function sumSlots(engine: Engine, x: View, weights: View | undefined, y: View, first: number): void {
  const [rows, slots, columns] = x.shape;
  const [, width] = y.shape;
  const step = columns % 4 === 0 && width % 4 === 0 && first % 4 === 0 ? 4 : 1;
  const items = (rows * columns) / step;
  const form: SumForm = { weighted: weights !== undefined, step };
  const views = [x, ...(weights === undefined ? [] : [weights]), y];
  engine.dispatch(
    shaders(JSON.stringify(form)),
    views,
    [items, slots, columns, first, width],
    Math.ceil(items / LANES),
  );
}

export const combineExperts =
  (engine: Engine): Kernels["combineExperts"] =>
  ([x, weights], [y]) =>
    sumSlots(engine, x, weights, y, 0);
