// AdamW with decoupled decay (Loshchilov & Hutter 2019). `hyper` = learning rate, 1 - beta1^t, 1 - beta2^t, gradient scale:
// g = grad * scale; m += (1 - beta1)(g - m); v += (1 - beta2)(g^2 - v); param -= rate * (decay * param + (m / c1) / (sqrt(v / c2) + eps)).
import type { Kernel } from "../../backend.js";
import { floats } from "../read.js";

export const adamW: Kernel<"adamW", void> = ([grad, hyper], [param, mean, variance], { beta1, beta2, eps, decay }) => {
  const [rate, correction1, correction2, scale] = floats(hyper);
  const gradient = floats(grad);
  const weights = floats(param);
  const means = floats(mean);
  const variances = floats(variance);
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i] * scale;
    means[i] = beta1 * means[i] + (1 - beta1) * g;
    variances[i] = beta2 * variances[i] + (1 - beta2) * g * g;
    const step = means[i] / correction1 / (Math.sqrt(variances[i] / correction2) + eps);
    weights[i] -= rate * (decay * weights[i] + step);
  }
};
