// adamW: first and later steps, with and without decay, gradients scaled.
import type fc from "fast-check";
import { adamW } from "../../ops/adam-w.js";
import { among, draw, epsilon, floats, shapes, taste, type DrawnCall } from "../arbitraries.js";

export const adamWCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      shape: shapes,
      step: among(1, 2, 1000),
      rate: among(1e-3, 0.1),
      scale: among(1, 0.3),
      beta1: among(0.9, 0),
      beta2: among(0.99, 0.999),
      eps: epsilon,
      decay: among(0, 0.1),
      taste,
    },
    ({ shape, step, rate, scale, beta1, beta2, eps, decay, taste }, random) => {
      const hyper = Float32Array.of(rate, 1 - beta1 ** step, 1 - beta2 ** step, scale);
      const variance = floats(random, shape, taste);
      return {
        inputs: [
          floats(random, shape, taste),
          { shape: [4], data: hyper },
          floats(random, shape, taste),
          floats(random, shape, taste),
          { shape, data: variance.data.map(Math.abs) as Float32Array<ArrayBuffer> },
        ],
        run([grad, hyper, param, mean, variance]) {
          adamW(grad, hyper, param, mean, variance, { beta1, beta2, eps, decay });
          return [param, mean, variance];
        },
        targets: [2, 3, 4],
      };
    },
  );
