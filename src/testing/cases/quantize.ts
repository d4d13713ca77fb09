// quantize: every scheme that the backend encodes, rows of any width (a short last block too), numbers at the edges between codes.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { dequantize } from "../../ops/dequantize.js";
import { encodedBy } from "../../ops/expect.js";
import { quantize } from "../../ops/quantize.js";
import { schemes } from "../../quant/schemes/schemes.js";
import type { Tensor } from "../../tensor/tensor.js";
import { among, draw, extent, floats, lead, special, taste, type DrawnCall } from "../arbitraries.js";
import type { Handle } from "../operands.js";

const encoded = (features: Features): fc.Arbitrary<string> =>
  fc.constantFrom(...encodedBy(features).filter((name) => Object.hasOwn(schemes, name)));

function run([x]: readonly Handle[], scheme: string): readonly Tensor[] {
  const packed = quantize(x, schemes[scheme]);
  return [dequantize(packed), ...packed.parts.map((part) => part.retain())];
}

export const quantizeCase = (features: Features): fc.Arbitrary<DrawnCall> =>
  draw(
    { lead, width: extent, blocks: among(0, 0, 1, 2), scheme: encoded(features), taste, halves: fc.boolean() },
    ({ lead, width, blocks, scheme, taste, halves }, random) => {
      const x = floats(random, [...lead, 32 * blocks + width], taste);
      // With 127 (or -8) as the extreme of each block the scale is 1, and halves lie between two codes.
      const extreme = scheme === "q4_0" ? -8 : 127;
      const step = (_: number, i: number): number => (i % 8 === 0 ? extreme : (random.integer(17) - 8) / 2);
      return {
        inputs: [halves ? { ...x, data: x.data.map(step) as Float32Array<ArrayBuffer> } : x],
        run: (inputs) => run(inputs, scheme),
      };
    },
  );

export const quantizeSpecialCase = (features: Features): fc.Arbitrary<DrawnCall> =>
  draw({ lead, width: extent, scheme: encoded(features) }, ({ lead, width, scheme }, random) => ({
    inputs: [special(random, [...lead, width])],
    run: (inputs) => [dequantize(quantize(inputs[0], schemes[scheme]))],
  }));
