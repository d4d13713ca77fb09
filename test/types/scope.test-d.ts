// What must not compile, and what must. Checked by `npm run check:types`; an expected error that does not occur is an error itself.
import {
  add,
  loadBalancingLoss,
  matmul,
  record,
  scope,
  TopKRouter,
  valueAndGrad,
  type Kernels,
  type Tensor,
  type View,
} from "qwen-blocks";

declare const x: Tensor;
declare const view: View;
declare const params: Map<string, Tensor>;

// A scope is over before an async callback goes on.
// @ts-expect-error: a promise is no result
void scope(async () => add(x, x));
// @ts-expect-error: nor is one without a value
void scope(async () => {});
// @ts-expect-error: nor a promise made by hand
void scope(() => x.data());

// @ts-expect-error: nor is a recorded step
void record(x.backend, async () => add(x, x));

// Results keep their type.
export const one: Tensor = scope(() => add(x, x));
export const several: { a: Tensor; b: Tensor[] } = scope(() => ({ a: x, b: [x] }));
export const nothing: void = scope(() => undefined);
// @ts-expect-error: and no other
export const wrong: number = scope(() => add(x, x));

// A loss is a tensor or has one.
// @ts-expect-error: it is not a promise of one
valueAndGrad(params, async () => x);
// @ts-expect-error: nor a number
valueAndGrad(params, () => 1);
export const seen: number = valueAndGrad(params, () => ({ loss: x, tokens: 3 })).value.tokens;

// normTopkProb is never guessed.
// @ts-expect-error: so it is required
new TopKRouter({ numExpertsPerTok: 2 });

// Ops take handles, not views; kernels take views, not handles.
// @ts-expect-error: a view has no owner
add(view, view);
// @ts-expect-error: axes are given by name
matmul(x, x, true);
// @ts-expect-error: a reduction is one of two words
loadBalancingLoss([], { reduction: "mean" });

// Primitives are required, their outputs are given, and they do not decline.
declare const kernels: Kernels;
// @ts-expect-error: fill is missing
export const incomplete: Kernels = { ...kernels, fill: undefined };
export const complete: Kernels = { ...kernels, rmsNorm: undefined };
// @ts-expect-error: shapes are readonly
x.shape[0] = 3;
