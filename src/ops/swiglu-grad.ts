// Gradient of SwiGLU.
import { ShapeError } from "../core/errors.js";
import { showShape, withLastAxis } from "../core/shape.js";
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, mul, sub } from "./binary.js";
import { concat } from "./concat.js";
import { expectDType, expectShape } from "./expect.js";
import { slice } from "./slice.js";
import { sigmoid } from "./unary.js";

/** With s = sigmoid(gate): dGate = dy up s (1 + gate (1 - s)) = dy up (s + gate s - gate s s), dUp = dy gate s. */
const def: OpDef<"swigluGrad"> = {
  name: "swigluGrad",
  infer([gateUp, dy]) {
    const shape = withLastAxis(gateUp.shape, expectHalves("swigluGrad", gateUp));
    expectDType("swigluGrad", "dy", dy);
    expectShape("swigluGrad", "dy", dy, shape, "half of gateUp", gateUp);
    return [{ shape: gateUp.shape }];
  },
  composite([gateUp, dy]) {
    const [gate, up] = halves(gateUp);
    const s = sigmoid(gate);
    const silu = mul(gate, s);
    const slope = add(s, sub(silu, mul(silu, s)));
    return [concat([mul(mul(dy, up), slope), mul(dy, silu)], gateUp.shape.length - 1)];
  },
};

/** @param gateUp f32 [..., 2I] @param dy f32 [..., I] @returns f32 [..., 2I] @throws ShapeError, DTypeError */
export const swigluGrad = (gateUp: Tensor, dy: Tensor): Tensor => dispatch(def, [gateUp, dy], {})[0];

/** Checks that the last axis has two halves; returns I. */
export function expectHalves(op: string, gateUp: Tensor): number {
  expectDType(op, "gateUp", gateUp);
  const width = gateUp.shape.at(-1);
  if (width !== undefined && width % 2 === 0) return width / 2;
  throw new ShapeError(`${op}: gateUp must have an even last axis, gate then up, got ${showShape(gateUp.shape)}`);
}

/** Gate and up, f32 [..., I] each. */
export function halves(gateUp: Tensor): readonly [gate: Tensor, up: Tensor] {
  const half = withLastAxis(gateUp.shape, (gateUp.shape.at(-1) as number) / 2);
  const start = gateUp.shape.map(() => 0);
  return [slice(gateUp, start, half), slice(gateUp, withLastAxis(start, half.at(-1) as number), half)];
}
