// The two sides of a product with experts' weights: rows of numbers or of codes on the left, any stored matrix on the right.
import { isPackedView, type Matrix, type View } from "../../core/view.js";
import type { DType } from "../../core/dtype.js";
import type { Activations } from "../backend.js";
import { quantizedRows, roundedRows } from "./activations.js";
import type { Engine } from "./engine.js";
import { hasByteCodes, packedReads } from "./packed.js";

/** Left rows: numbers, or int8 codes with a scale per block, `x_codes` and `x_scales`. */
export interface LeftRows {
  readonly parts: readonly View[];
  readonly coded: boolean;
}

/** Weights of experts, [experts, rows, width]. */
export interface ExpertMatrix {
  readonly format: string;
  readonly parts: readonly View[];
  readonly experts: number;
  readonly rows: number;
  readonly width: number;
}

export function expertMatrix(weight: Matrix): ExpertMatrix {
  const [experts, rows, width] = weight.shape;
  const stored = isPackedView(weight)
    ? { format: weight.scheme, parts: weight.parts }
    : { format: "f32", parts: [weight] };
  return { ...stored, experts, rows, width };
}

/** x [rows, width] as it meets this matrix. Codes meet codes; other weights get the numbers that they stand for. */
export function leftRows(
  engine: Engine,
  x: View,
  rows: number,
  { format, width }: ExpertMatrix,
  activations: Activations,
): LeftRows {
  if (activations === "f32") return { parts: [x], coded: false };
  if (!hasByteCodes(format)) return { parts: [roundedRows(engine, x, rows, width)], coded: false };
  const { codes, scales } = quantizedRows(engine, x, rows, width);
  return { parts: [codes, scales], coded: true };
}

/** What decides about the code of a product. */
export interface ProductForm {
  readonly format: string;
  readonly coded: boolean;
  /** Of 1, 4 and 16 the largest that divides the rows' length. */
  readonly step: number;
  readonly packedDot: boolean;
}

export const productForm = (engine: Engine, { format, width }: ExpertMatrix, { coded }: LeftRows): ProductForm => ({
  format,
  coded,
  step: [16, 4, 1].find((step) => width % step === 0) ?? 1,
  packedDot: coded && engine.abilities.packedDot,
});

export const productReads = ({ format, coded }: ProductForm): Record<string, DType> => ({
  ...(coded ? { x_codes: "u32", x_scales: "f32" } : packedReads("f32", "x")),
  ...packedReads(format, "w"),
});
