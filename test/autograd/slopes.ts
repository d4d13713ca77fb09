// Gradients against central differences, both in f64.
import { mul, reshape, scope, sum, valueAndGrad, type Backend, type Tensor } from "qwen-blocks";
import { expect } from "vitest";
import { normals } from "../tensor/numbers.js";
import { exact, peek, poke } from "./f64-backend.js";

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, extent) => size * extent, 1);
const manyWeights = new Map<number, readonly number[]>();
function weightsOf(seed: number): readonly number[] {
  const known = manyWeights.get(seed) ?? normals(seed, 1000);
  manyWeights.set(seed, known);
  return known;
}

/** The weighted sum of all elements: a scalar whose gradient by each element is a weight of its own. */
export function weighted(y: Tensor, seed = 99): Tensor {
  expect(y.size).toBeLessThan(1000);
  const weights = exact(y.backend, weightsOf(seed).slice(0, y.size), y.shape);
  return reshape(sum(mul(y, weights), y.shape.map((_, axis) => axis)), []); // prettier-ignore
}

export interface SlopeOptions {
  /** Moves each parameter along so many random directions in place of every element on its own. */
  readonly directions?: number;
  readonly h?: number;
}

/**
 * Every gradient of the scalar `loss` is its slope, along unit vectors. With step h = 1e-4 the difference is off by h^2/6 times the third
 * derivative (below 100 for what is tested here: 2e-7) and by the rounding of the loss over h (values to 1e2: 1e2 * 2^-53 / 1e-4 = 1e-10).
 */
export function expectSlopes(
  params: Readonly<Record<string, Tensor>>,
  loss: () => Tensor,
  { directions, h = 1e-4 }: SlopeOptions = {},
): void {
  const named = new Map(Object.entries(params));
  const { grads } = scope(() => valueAndGrad(named, loss));
  let last = NaN;
  const at = (param: Tensor, point: Float64Array): number => {
    poke(param, point);
    scope(() => void (last = peek(loss())[0]));
    return last;
  };
  for (const [name, param] of named) {
    const grad = grads.get(name) as Tensor;
    expect(grad.shape, name).toEqual(param.shape);
    const [claimed, start] = [peek(grad), peek(param)];
    for (const direction of directions ? randomDirections(directions, start.length) : axes(start.length)) {
      const up = at(param, start.map((x, i) => x + h * direction[i])); // prettier-ignore
      const down = at(param, start.map((x, i) => x - h * direction[i])); // prettier-ignore
      poke(param, start);
      const slope = (up - down) / (2 * h);
      const claim = claimed.reduce((total, g, i) => total + g * direction[i], 0);
      if (!(Math.abs(claim - slope) <= 1e-6 * (1 + Math.abs(slope)))) {
        expect.fail(`${name} along ${direction.indexOf(1)}: gradient ${claim}, slope ${slope}`);
      }
    }
    grad.dispose();
  }
}

const axes = (count: number): number[][] =>
  Array.from({ length: count }, (_, at) => Array.from({ length: count }, (_, i) => +(i === at)));

const randomDirections = (count: number, length: number): number[][] =>
  Array.from({ length: count }, (_, seed) => {
    const direction = normals(7 + seed, length);
    const norm = Math.hypot(...direction);
    return direction.map((x) => x / norm);
  });

export const parameter = (backend: Backend, seed: number, shape: readonly number[], std = 1): Tensor =>
  exact(backend, normals(seed, sizeOf(shape), std), shape);
