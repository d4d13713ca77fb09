// y = softmax(scores) V for each query head over the keys that the tables let it see; a row with no visible key gives 0.
import type { Kernel } from "../../backend.js";
import { forEachTile, weightedRows } from "../attention-tiles.js";
import { floats } from "../read.js";

export const attention: Kernel<"attention", void> = (inputs, [y], attrs) => {
  const size = y.shape[3];
  const to = floats(y);
  forEachTile(inputs, attrs, ({ rows, keys, v, at, p, spread }) => {
    const result = new Float32Array(rows * size);
    weightedRows(p, rows, v, at, keys, size, result);
    spread(result, to);
  });
};
