// fill: constants and ramps of every type.
import type fc from "fast-check";
import { fill } from "../../ops/fill.js";
import { among, anyType, draw, shapes, type DrawnCall } from "../arbitraries.js";

export const fillCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      shape: shapes,
      dtype: anyType,
      value: among(0, 1, -3, 7, 0.5, 0.1, -1e-6, 1e30, 2 ** 31 - 1),
      step: among(0, 0, 1, 2, 33, 0.25, 0.1, -1),
    },
    ({ shape, dtype, value, step }) => {
      const whole = dtype === "f32" || (Number.isInteger(value) && Math.abs(value) < 2 ** 31);
      const [from, by] = [whole ? value : 5, dtype === "f32" ? step : Math.trunc(step)];
      return { inputs: [], run: (_, backend) => [fill(backend, shape, from, { step: by, dtype })] };
    },
  );
