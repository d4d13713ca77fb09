// Gradient of RMSNorm.
import { dispatch } from "../tensor/dispatch.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, mul, sub } from "./binary.js";
import { expectLastAxis, expectShape } from "./expect.js";
import { mean } from "./mean.js";
import { sumTo } from "./reduce.js";
import { rsqrt } from "./unary.js";

/** With r = 1/sqrt(mean(x^2) + eps), n = x r and g = dy weight: dx = r (g - n mean(g n)), dWeight = sum over rows of dy n. */
const def: OpDef<"rmsNormGrad"> = {
  name: "rmsNormGrad",
  infer([x, weight, dy]) {
    expectLastAxis("rmsNormGrad", "weight", weight, x);
    expectShape("rmsNormGrad", "dy", dy, x.shape, "that of x");
    return [{ shape: x.shape }, { shape: weight.shape }];
  },
  composite([x, weight, dy], { eps }, [wantsX, wantsWeight]) {
    const r = rsqrt(add(mean(mul(x, x)), eps));
    const n = mul(x, r);
    const g = mul(dy, weight);
    return [
      wantsX ? mul(r, sub(g, mul(n, mean(mul(g, n))))) : undefined,
      wantsWeight ? sumTo(mul(dy, n), weight.shape) : undefined,
    ];
  },
};

export const rmsNormGrad = (
  x: Tensor,
  weight: Tensor,
  dy: Tensor,
  eps: number,
  wants: readonly [x: boolean, weight: boolean],
): readonly [dx: Tensor | undefined, dWeight: Tensor | undefined] => dispatch(def, [x, weight, dy], { eps }, { wants });
