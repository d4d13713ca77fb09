// Another window over the same memory as a value of its own. Free; the tape gets a rule for its gradient.
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import { ambient } from "./ambient.js";
import type { Tensor } from "./tensor.js";

/** `gradient` turns the gradient of the window into that of `x`; without one the window carries none. */
export function alias(
  name: string,
  x: Tensor,
  window: { readonly shape: Shape; readonly dtype?: DType; readonly offset?: number },
  gradient?: (x: Tensor, dy: Tensor) => Tensor,
): Tensor {
  const y = x.window(window.shape, window.dtype ?? x.dtype, window.offset ?? 0);
  if (gradient) {
    ambient.tape?.ran({
      name,
      attrs: {},
      inputs: [x],
      outputs: [y],
      gradient: ([ofX], _, [dy]) => [dy && gradient(ofX as Tensor, dy)],
    });
  }
  return y;
}
