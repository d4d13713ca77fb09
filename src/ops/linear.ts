// A product with a weight as checkpoints store it, [out, in].
import type { Activations } from "../backends/backend.js";
import { ConfigError, ShapeError } from "../core/errors.js";
import { rowsOf, withLastAxis } from "../core/shape.js";
import { q8_0 } from "../quant/schemes/q8.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import type { Tensor } from "../tensor/tensor.js";
import { add } from "./binary.js";
import { dequantize } from "./dequantize.js";
import { expectDType, expectMatrix, expectRank, expectShape } from "./expect.js";
import { decoded, linearGrad } from "./linear-grad.js";
import { matmul } from "./matmul.js";
import { quantize } from "./quantize.js";
import { reshape } from "./reshape.js";

const def: OpDef<"linear"> = {
  name: "linear",
  infer([x, weight, bias], { activations }) {
    expectActivations("linear", activations);
    expectDType("linear", "x", x);
    expectMatrix("linear", "weight", weight);
    expectRank("linear", "weight", weight, 2, "[out, in]");
    if (x.shape.length === 0) throw new ShapeError("linear: x must have at least one axis, got []");
    const { width } = rowsOf(x.shape);
    const out = weight.shape[0];
    expectShape("linear", "weight", weight, [out, width], "the last axis of x", x);
    if (bias) {
      expectDType("linear", "bias", bias);
      expectShape("linear", "bias", bias, [out], "the rows of weight", weight);
    }
    return [{ shape: withLastAxis(x.shape, out) }];
  },
  composite([x, weight, bias], { activations }) {
    const { rows, width } = rowsOf(x.shape);
    const given = reshape(x, [rows, width]);
    const read = activations === "q8" ? dequantize(quantize(given, q8_0)) : given;
    const product = matmul(read, decoded(weight), { transposeB: true });
    const y = reshape(product, withLastAxis(x.shape, weight.shape[0]));
    return [bias ? add(y, bias) : y];
  },
  // Straight through: the rounding of x counts as identity.
  vjp: ([x, weight], _, [dy], __, wants) => (dy ? linearGrad(x, weight, dy, wants) : [undefined, undefined, undefined]),
  decode: dequantize,
};

export interface ProductOptions {
  /** "f32" unless given. "q8" first rounds each row of x by the Q8_0 rule; its gradient is straight-through. */
  readonly activations?: Activations;
}

/**
 * y = x W^T + b. With activations "q8", x is first rounded as `dequantize(quantize(x, q8_0))` does.
 * @param x f32 [..., in] @param weight f32 or packed [out, in] @param bias f32 [out] @returns f32 [..., out]
 * @throws ShapeError, DTypeError, ConfigError
 */
export function linear(
  x: Tensor,
  weight: Tensor | PackedTensor,
  bias?: Tensor,
  { activations = "f32" }: ProductOptions = {},
): Tensor {
  return dispatch(def, [x, weight, bias], { activations })[0];
}

/** The attribute that products share. */
export function expectActivations(op: string, activations: Activations): void {
  if (activations === "f32" || activations === "q8") return;
  throw new ConfigError(`${op}: activations must be "f32" or "q8", got ${JSON.stringify(activations)}`);
}
