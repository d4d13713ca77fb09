// Axis i of y is axis axes[i] of x: copies of runs where the last axis stays, else exchanges of the last axes of x and y in blocks.
import { stridesOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import { mergedLoops } from "../../loops.js";
import { COPY, TRANSPOSE } from "../codes.js";
import { perTile, type Engine } from "../engine.js";
import { strided, whole } from "../strided.js";

/** Elements on a side of a block: few enough to stay in the first-level cache, enough for whole cache lines. */
const SIDE = 128;

export const permute =
  (engine: Engine): Kernels["permute"] =>
  ([x], [y], { axes }) => {
    if (y.shape.includes(0)) return;
    const own = stridesOf(x.shape);
    const strides = axes.map((axis) => own[axis]);
    const loops = mergedLoops(y.shape, [strides, stridesOf(y.shape)]);
    const across = loops[loops.length - 1];
    const down = loops.find((loop) => loop.strides[0] === 1);
    if (across === undefined || down === undefined || down === across) {
      const walk = { at: engine.at(x), strides };
      strided(engine, COPY, [x.dtype, y.dtype], y.shape, whole(engine, y), [walk]);
      return;
    }
    const others = loops.filter((loop) => loop !== across && loop !== down).reverse();
    const [height, width] = [Math.min(SIDE, down.extent), Math.min(SIDE, across.extent)];
    const blocks =
      others.reduce((product, { extent }) => product * extent, 1) *
      Math.ceil(down.extent / height) *
      Math.ceil(across.extent / width);
    const count = perTile(blocks, 4 * height * width);
    engine.launch(TRANSPOSE, Math.ceil(blocks / count), [
      engine.at(x),
      engine.at(y),
      down.extent,
      across.extent,
      across.strides[0] * 4,
      down.strides[1] * 4,
      height,
      width,
      blocks,
      count,
      others.length,
      ...others.flatMap(({ extent, strides: [ofX, ofY] }) => [extent, ofX * 4, ofY * 4]),
    ]);
  };
