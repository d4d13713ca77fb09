// select: all three operands broadcast; any condition but 0 picks a, and bits are moved as they are.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { select } from "../../ops/select.js";
import { anyType, anyWords, draw, shapes, type DrawnCall } from "../arbitraries.js";

export const selectCase = ({ accuracy }: Features): fc.Arbitrary<DrawnCall> =>
  draw({ shape: shapes, dtype: anyType, smooth: fc.boolean() }, ({ shape, dtype, smooth }, random) => {
    const some = (): number[] => {
      const part = shape.map((extent) => (random.integer(4) === 0 ? 1 : extent));
      return random.integer(3) === 0 ? part.slice(random.integer(part.length + 1)) : part;
    };
    const finite = smooth || accuracy === "wgsl";
    const condition = anyWords(random, some(), "u32");
    for (let i = 0; i < condition.data.length; i++) if (random.integer(2) === 0) condition.data[i] = 0;
    return {
      inputs: [condition, anyWords(random, some(), dtype, finite), anyWords(random, some(), dtype, finite)],
      run: ([condition, a, b]) => [select(condition, a, b)],
      params: dtype === "f32" && finite ? [1, 2] : [],
      smooth: true,
    };
  });
