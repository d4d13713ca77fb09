// fill: constants and ramps of every type; where they mean something, also -0, NaN and infinity.
import type fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { fill } from "../../ops/fill.js";
import { among, anyType, draw, shapes, type DrawnCall } from "../arbitraries.js";
import { showNumber } from "../operands.js";

export const fillCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
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
      const special = dtype === "f32" && accuracy === "ieee" ? [-0, NaN, Infinity] : [];
      return {
        inputs: [],
        run: (_, backend) => [
          fill(backend, shape, from, { step: by, dtype }),
          ...special.map((value) => fill(backend, shape, value)),
        ],
        // Bounds do not tell the zeros apart.
        verify: ([, zeros]) => {
          const at = zeros?.findIndex((zero) => !Object.is(zero, -0)) ?? -1;
          return at < 0
            ? undefined
            : `[${at}] is ${showNumber(zeros[at])} and must be -0, the value itself where step is 0`;
        },
      };
    },
  );
