// y[i] = value + step * (index on the last axis).
import { elementsOver } from "../../../core/dtype.js";
import { rowsOf } from "../../../core/shape.js";
import type { View } from "../../../core/view.js";
import type { Kernels } from "../../backend.js";
import { FILL, RAMP } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { typeCodes } from "../strided.js";

export const fill =
  (engine: Engine): Kernels["fill"] =>
  (_, [y], { value, step }) => {
    if (step === 0) return fillWith(engine, y, value);
    const { rows, width } = rowsOf(y.shape);
    const elements = rows * width;
    const count = perTile(elements, 4);
    const words = [engine.at(y), elements, count, width, typeCodes[y.dtype]];
    engine.launch(RAMP, Math.ceil(elements / count), words, [value, step]);
  };

/** All elements of y become `value`. */
export function fillWith(engine: Engine, y: View, value: number): void {
  const { rows, width } = rowsOf(y.shape);
  const elements = rows * width;
  const bits = new ArrayBuffer(4);
  elementsOver(y.dtype, bits, 0, 1)[0] = value;
  const count = perTile(elements, 1);
  engine.launch(FILL, Math.ceil(elements / count), [engine.at(y), elements, count, new Uint32Array(bits)[0]]);
}
