// A value that gradients do not pass.
import { alias } from "../tensor/alias.js";
import type { Tensor } from "../tensor/tensor.js";

/** The same numbers, shared, as a constant to every tape. */
export const stopGradient = (x: Tensor): Tensor => alias("stopGradient", x, { shape: x.shape });
