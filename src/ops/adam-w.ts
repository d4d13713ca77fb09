// One step of AdamW, in place.
import { dispatch } from "../tensor/dispatch.js";
import type { Attrs, OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, div, mul, sub } from "./binary.js";
import { expectDType, expectShape } from "./expect.js";
import { reshape } from "./reshape.js";
import { slice } from "./slice.js";
import { sqrt } from "./unary.js";
import { writeSlice } from "./write-slice.js";

/** The targets are the caller's: they are checked by name here. */
const def = (param: Tensor, mean: Tensor, variance: Tensor): OpDef<"adamW"> => ({
  name: "adamW",
  infer([grad, hyper]) {
    expectDType("adamW", "grad", grad);
    expectDType("adamW", "hyper", hyper);
    expectShape("adamW", "hyper", hyper, [4], "learning rate, two bias corrections and gradient scale");
    for (const [what, target] of Object.entries({ param, mean, variance })) {
      expectDType("adamW", what, target);
      expectShape("adamW", what, target, grad.shape, "that of grad", grad);
    }
    return [{ shape: grad.shape }, { shape: grad.shape }, { shape: grad.shape }];
  },
  write([grad, hyper], [param, mean, variance], { beta1, beta2, eps, decay }) {
    const [rate, correction1, correction2, scale] = [0, 1, 2, 3].map((at) => reshape(slice(hyper, [at], [1]), []));
    const g = mul(grad, scale);
    const m = add(mul(mean, beta1), mul(g, 1 - beta1));
    const v = add(mul(variance, beta2), mul(mul(g, g), 1 - beta2));
    const step = div(div(m, correction1), add(sqrt(div(v, correction2)), eps));
    const next = sub(param, mul(add(mul(param, decay), step), rate));
    const start = grad.shape.map(() => 0);
    writeSlice(next, param, start);
    writeSlice(m, mean, start);
    writeSlice(v, variance, start);
  },
});

/**
 * With g = grad scale: mean = beta1 mean + (1 - beta1) g, variance = beta2 variance + (1 - beta2) g^2, and param -= rate (decay param +
 * (mean / c1) / (sqrt(variance / c2) + eps)) (Loshchilov & Hutter 2019).
 * @param grad f32, any shape @param hyper f32 [4]: rate, c1 = 1 - beta1^t, c2 = 1 - beta2^t, scale @param param changed @param mean changed
 * @param variance changed; all three have the shape of grad
 * @throws ShapeError, DTypeError, AliasError
 */
export function adamW(
  grad: Tensor,
  hyper: Tensor,
  param: Tensor,
  mean: Tensor,
  variance: Tensor,
  { beta1, beta2, eps, decay }: Attrs<"adamW">,
): void {
  dispatch(
    def(param, mean, variance),
    [grad, hyper],
    { beta1, beta2, eps, decay },
    { targets: [param, mean, variance] },
  );
}
