// Reverse-mode differentiation of a function of the parameters it closes over.
import { GradientError } from "../core/errors.js";
import { fill, zeros } from "../ops/fill.js";
import { withTape } from "../tensor/ambient.js";
import { scope } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { Tape } from "./tape.js";

/** A loss alone, or with other results that the caller wants to see. */
export type Loss = Tensor | { readonly loss: Tensor };

/**
 * Runs `fn` and differentiates the scalar it returns (or the `loss` field of it).
 * @param params what to differentiate by, under names of the caller's: `parameters(model)`, or any part of it
 * @returns what `fn` returned, and a gradient for every parameter: zeros where the loss does not depend on it. The caller owns both.
 * @throws GradientError if the loss is no f32 scalar or depends on no parameter, or if an operand was overwritten in between
 */
export function valueAndGrad<T extends Loss>(
  params: ReadonlyMap<string, Tensor>,
  fn: () => T,
): { readonly value: T; readonly grads: Map<string, Tensor> } {
  const tape = new Tape(params.values());
  try {
    return scope((): never => {
      const value = withTape(tape, fn);
      const loss = value instanceof Tensor ? value : value.loss;
      check(loss, tape);
      const found = tape.backward(new Map([[loss.id, fill(loss.backend, loss.shape, 1)]]));
      const byId = new Map<number, Tensor>();
      const grads = new Map<string, Tensor>();
      for (const [name, param] of params) {
        const shared = byId.get(param.id)?.retain();
        const grad = shared ?? found.take(param.id) ?? zeros(param.backend, param.shape);
        byId.set(param.id, grad);
        grads.set(name, grad);
      }
      return { value, grads } as never;
    });
  } finally {
    tape.dispose();
  }
}

function check(loss: Tensor, tape: Tape): void {
  if (!(loss instanceof Tensor) || loss.dtype !== "f32" || loss.size !== 1) {
    throw new GradientError(
      `valueAndGrad: the loss must be one f32 number, got ${String(loss)}; reduce it with sum or mean over all axes`,
    );
  }
  if (!tape.tracks(loss)) {
    throw new GradientError(
      "valueAndGrad: the loss must depend on at least one of the parameters, got one that depends on none",
    );
  }
}
