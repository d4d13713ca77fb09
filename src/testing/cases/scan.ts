// scan: running sums along any axis, with and without the element itself.
import fc from "fast-check";
import { scan } from "../../ops/scan.js";
import { anyWords, draw, floats, shapes, taste, type DrawnCall } from "../arbitraries.js";

export const scanCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    {
      shape: shapes.filter((shape) => shape.length > 0),
      axis: fc.nat(3),
      exclusive: fc.boolean(),
      integers: fc.boolean(),
      taste,
    },
    ({ shape, axis, exclusive, integers, taste }, random) => ({
      inputs: [integers ? anyWords(random, shape, "i32") : floats(random, shape, taste)],
      run: ([x]) => [scan(x, axis % shape.length, { exclusive })],
      params: integers ? [] : [0],
      smooth: taste === "normal",
    }),
  );
