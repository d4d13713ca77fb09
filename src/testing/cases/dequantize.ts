// dequantize: every scheme, those that no backend lists too; there the composite must give what the host decodes.
import type fc from "fast-check";
import { dequantize } from "../../ops/dequantize.js";
import { decode } from "../../quant/schemes/scheme.js";
import { among, draw, extent, lead, type DrawnCall } from "../arbitraries.js";
import { packedOperand, schemeChoice } from "../packings.js";

export const dequantizeCase = (): fc.Arbitrary<DrawnCall> =>
  draw(
    { lead, width: extent, blocks: among(0, 0, 1), stored: schemeChoice },
    ({ lead, width, blocks, stored }, random) => {
      const x = packedOperand(random, [...lead, 32 * blocks + width], stored);
      return {
        inputs: [x],
        run: ([x]) => [dequantize(x)],
        reference: decode(x.scheme, x.parts, x.shape),
      };
    },
  );
