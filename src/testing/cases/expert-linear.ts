// expertLinear: one row for all slots or one each, empty slots, any stored weight, f32 and q8 activations.
import fc from "fast-check";
import type { Random } from "../../core/random.js";
import { expertLinear } from "../../ops/expert-linear.js";
import {
  activations,
  draw,
  extent,
  fewPositive,
  floats,
  rowIndices,
  slotRows,
  taste,
  type DrawnCall,
  type Taste,
} from "../arbitraries.js";
import type { HostOperand } from "../operands.js";
import { matrix, plainOf, storedAs, type SchemeChoice } from "../packings.js";

export interface SlotProduct {
  readonly R: number;
  readonly k: number;
  readonly E: number;
  readonly width: number;
  readonly out: number;
  /** A row for each slot, not one for all k of them. */
  readonly each: boolean;
  readonly stored: SchemeChoice | undefined;
  readonly taste: Taste;
}

/** What a product of rows with their experts is drawn from, gradients included. */
export const slotProduct: { readonly [K in keyof SlotProduct]: fc.Arbitrary<SlotProduct[K]> } = {
  ...{ R: slotRows, k: fewPositive, E: fewPositive, width: extent, out: extent },
  ...{ each: fc.boolean(), stored: storedAs, taste },
};

/** x, weight and experts. */
export const slotOperands = (
  random: Random,
  { R, k, E, width, out, each, stored, taste }: SlotProduct,
): HostOperand[] => [
  floats(random, each ? [R, k, width] : [R, width], taste),
  matrix(random, [E, out, width], stored, taste),
  rowIndices(random, [R, k], E),
];

export const expertLinearCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ ...slotProduct, activations }, ({ activations, ...drawn }, random) => {
    const inputs = slotOperands(random, drawn);
    return {
      inputs,
      run: ([x, weight, experts]) => [expertLinear(x, weight, experts, { activations })],
      params: plainOf(inputs, [0, 1]),
      straightThrough: activations === "q8",
      smooth: drawn.taste === "normal",
    };
  });
