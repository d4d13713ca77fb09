// topK: any k up to a whole sorted row; ties go to the lower index, NaN comes last.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { topK } from "../../ops/top-k.js";
import type { Tensor } from "../../tensor/tensor.js";
import { among, draw, extent, floats, lead, special, taste, type DrawnCall } from "../arbitraries.js";

const long = fc.oneof(extent, among(130, 256, 257, 300));
/** k as a share of the row: of a long one, a few per cent are what routers and samplers take. */
const depth = among(1, 0.5, 0.25, 0.75, 0, 0.03);
const kOf = (share: number, width: number): number => Math.round(share * width);

function run([x]: readonly Tensor[], k: number): readonly Tensor[] {
  const { values, indices } = topK(x, k);
  return [values, indices];
}

export const topKCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: long, share: depth, taste }, ({ lead, width, share, taste }, random) => ({
    inputs: [floats(random, [...lead, width], taste)],
    run: (inputs) => run(inputs, kOf(share, width)),
    params: [0],
    smooth: taste === "grid",
  }));

/** A whole sorted row, also a long one, with and without ties: k largest ones and all of them may be found in different ways. */
export const topKSortCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: long, taste }, ({ lead, width, taste }, random) => ({
    inputs: [floats(random, [...lead, width], taste)],
    run: (inputs) => run(inputs, width),
  }));

/** With NaN and infinities; where these mean nothing, indices are still distinct and in range. */
export const topKNanCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: long, share: depth }, ({ lead, width, share }, random) => ({
    inputs: [special(random, [...lead, width])],
    run: (inputs) => run(inputs, kOf(share, width)),
    verify: ([, indices]) => (accuracy === "wgsl" ? distinctRows(indices, kOf(share, width), width) : undefined),
  }));

/** What is wrong with rows of k indices below `count`, which must be distinct; undefined if nothing is. */
export function distinctRows(indices: ArrayLike<number>, k: number, count: number): string | undefined {
  for (let row = 0; row * k < indices.length; row++) {
    const chosen = Array.from({ length: k }, (_, j) => indices[row * k + j]);
    const outside = chosen.find((index) => index < 0 || index >= count);
    if (outside !== undefined) return `row ${row} names ${outside}, which is not below ${count}`;
    if (new Set(chosen).size < k) return `row ${row} names an element twice: ${chosen.join(", ")}`;
  }
  return undefined;
}
