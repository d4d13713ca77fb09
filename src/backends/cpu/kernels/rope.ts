// Turns pairs of the first r components of each head by the angle of the token's table row; the rest are copied. A table row holds r / 2
// cosines, then r / 2 sines; one out of range counts as zeros, as gatherRows has it. `inverse` negates the sines.
import type { Kernel, RopeLayout } from "../../backend.js";
import { floats, ints } from "../read.js";

export const rope: Kernel<"rope", void> = ([x, table, rows], [y], { layout, inverse }) => {
  const [heads, size] = x.shape.slice(-2);
  const angles = floats(table);
  const [count, turned] = table.shape;
  const wanted = ints(rows);
  const from = floats(x);
  const to = floats(y);
  for (let token = 0; token < wanted.length; token++) {
    for (let head = 0; head < heads; head++) {
      const at = (token * heads + head) * size;
      turnHead(from, at, to, at, size, angles, wanted[token], count, turned, layout, inverse);
    }
  }
};

/** One head of `size` components. With c, s of a pair (p, q): (p c - q s, q c + p s). */
export function turnHead(
  x: Float32Array | Float64Array,
  xAt: number,
  y: Float32Array,
  yAt: number,
  size: number,
  angles: Float32Array,
  row: number,
  rowCount: number,
  turned: number,
  layout: RopeLayout,
  inverse: boolean,
): void {
  const half = turned / 2;
  const known = row >= 0 && row < rowCount;
  const step = layout === "half" ? 1 : 2;
  const gap = layout === "half" ? half : 1;
  for (let i = 0; i < half; i++) {
    const cos = known ? angles[row * turned + i] : 0;
    const sine = known ? angles[row * turned + half + i] : 0;
    const sin = inverse ? -sine : sine;
    const p = x[xAt + i * step];
    const q = x[xAt + i * step + gap];
    y[yAt + i * step] = p * cos - q * sin;
    y[yAt + i * step + gap] = q * cos + p * sin;
  }
  for (let i = turned; i < size; i++) y[yAt + i] = x[xAt + i];
}
