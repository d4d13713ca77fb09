// Gradients against central differences, both in f64.
import { mul, scope, sum, valueAndGrad, reshape, type Backend, type Tensor } from "qwen-blocks";
import { expect } from "vitest";
import { normals } from "../tensor/numbers.js";
import { exact, peek, poke } from "./f64-backend.js";

/** The weighted sum of all elements: a scalar whose gradient by each element is a weight of its own. */
export function weighted(y: Tensor, seed = 99): Tensor {
  const weights = exact(y.backend, normals(seed, y.size), y.shape);
  return reshape(sum(mul(y, weights), y.shape.map((_, axis) => axis)), []); // prettier-ignore
}

/**
 * Every gradient of the scalar `loss` is its slope. With step h = 1e-4 the difference is off by h^2/6 times the third derivative (below
 * 100 for what is tested here: 2e-7) and by the rounding of the loss over h (values to 1e2: 1e2 * 2^-53 / 1e-4 = 1e-10).
 * @param elements at most so many elements of each parameter are moved, spread evenly; all unless given
 */
export function expectSlopes(
  params: Readonly<Record<string, Tensor>>,
  loss: () => Tensor,
  { elements = Infinity, h = 1e-4 }: { readonly elements?: number; readonly h?: number } = {},
): void {
  const named = new Map(Object.entries(params));
  const { grads } = scope(() => valueAndGrad(named, loss));
  const value = (): number => scope(() => void (last = peek(loss())[0])) ?? last;
  let last = NaN;
  for (const [name, param] of named) {
    const grad = grads.get(name) as Tensor;
    expect(grad.shape, name).toEqual(param.shape);
    const claimed = peek(grad);
    const start = peek(param);
    const stride = Math.max(1, Math.ceil(start.length / elements));
    for (let i = 0; i < start.length; i += stride) {
      const moved = start.slice();
      moved[i] = start[i] + h;
      poke(param, moved);
      const up = value();
      moved[i] = start[i] - h;
      poke(param, moved);
      const down = value();
      poke(param, start);
      const slope = (up - down) / (2 * h);
      if (!(Math.abs(claimed[i] - slope) <= 1e-6 * (1 + Math.abs(slope))))
        expect.fail(`${name}[${i}]: gradient ${claimed[i]}, slope ${slope}`);
    }
    grad.dispose();
  }
}

export const parameter = (backend: Backend, seed: number, shape: readonly number[], std = 1): Tensor =>
  exact(backend, normals(seed, shape.reduce((size, extent) => size * extent, 1), std), shape); // prettier-ignore
