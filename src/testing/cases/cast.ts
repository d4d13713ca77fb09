// cast: between all types. Towards integers it truncates and saturates, and NaN becomes 0.
import type fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { cast } from "../../ops/cast.js";
import { anyType, anyWords, draw, floats, shapes, special, taste, type DrawnCall } from "../arbitraries.js";
import { showNumber } from "../operands.js";

export const castCase = (): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, from: anyType, to: anyType, taste }, ({ shape, from, to, taste }, random) => ({
    inputs: [from === "f32" ? floats(random, shape, taste, 100) : anyWords(random, shape, from)],
    run: ([x]) => [cast(x, to)],
  }));

/** To f32 it is a copy. Of a NaN that is no promise about its bits, which an engine may change where it reads a number. */
export const castSpecialCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes }, ({ shape }, random) => {
    const x = special(random, shape);
    return {
      inputs: [x],
      run: ([x]) => [cast(x, "i32"), cast(x, "u32"), cast(x, "f32")],
      verify: ([, , same]) => {
        const at = accuracy === "ieee" ? same.findIndex((y, i) => !Object.is(y, x.data[i])) : -1;
        return at < 0
          ? undefined
          : `f32 to f32: [${at}] is ${showNumber(same[at])} and must be ${showNumber(x.data[at])}`;
      },
    };
  });
