// One step of AdamW in place (Loshchilov & Hutter 2019). `hyper` = learning rate, 1 - beta1^t, 1 - beta2^t, gradient scale.
import { sizeOf } from "../../../core/shape.js";
import type { Kernels } from "../../backend.js";
import type { Engine } from "../engine.js";
import { inPieces, part } from "../pieces.js";
import type { Shader } from "../shader.js";

const LANES = 256;
const shader: Shader = {
  name: "adam-w",
  reads: { grad: "f32", hyper: "f32" },
  writes: { param: "f32", mean: "f32", variance: "f32" },
  params: { elements: "u32", beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", eps: "f32", decay: "f32" },
  lanes: LANES,
  code: `
struct State { param: vec4f, mean: vec4f, variance: vec4f }
fn stepped(grad: vec4f, old: State) -> State {
  let hyper = hyper_vec(0u);
  let g = grad * hyper.w;
  let mean = params.beta1 * old.mean + params.rest1 * g;
  let variance = params.beta2 * old.variance + params.rest2 * g * g;
  let step = mean / hyper.y / (sqrt(variance / hyper.z) + params.eps);
  return State(old.param - hyper.x * (params.decay * old.param + step), mean, variance);
}
fn run(group: u32, lane: u32) {
  let first = (group * LANES + lane) * 4u;
  if (first + 4u <= params.elements) {
    let next = stepped(grad_vec(first), State(param_vec(first), mean_vec(first), variance_vec(first)));
    param_set_vec(first, next.param);
    mean_set_vec(first, next.mean);
    variance_set_vec(first, next.variance);
    return;
  }
  for (var i = first; i < params.elements; i++) {
    let next = stepped(vec4f(grad_at(i)), State(vec4f(param_at(i)), vec4f(mean_at(i)), vec4f(variance_at(i))));
    param_set(i, next.param.x);
    mean_set(i, next.mean.x);
    variance_set(i, next.variance.x);
  }
}`,
};

export const adamW =
  (engine: Engine): Kernels["adamW"] =>
  ([grad, hyper], targets, { beta1, beta2, eps, decay }) => {
    const viewsOf = (first: number, count: number) => {
      const [own, ...state] = [grad, ...targets].map((view) => part(view, first, count));
      return [own, hyper, ...state];
    };
    inPieces(engine, sizeOf(grad.shape), viewsOf, (views, elements) =>
      engine.dispatch(
        shader,
        views,
        [elements, beta1, 1 - beta1, beta2, 1 - beta2, eps, decay],
        Math.ceil(elements / (4 * LANES)),
      ),
    );
  };
