// repack: into the layout that the backend likes best and back; the numbers stay, and so do the words after the way back.
import fc from "fast-check";
import type { Features } from "../../backends/backend.js";
import { BackendError } from "../../core/errors.js";
import { dequantize } from "../../ops/dequantize.js";
import { repack } from "../../ops/repack.js";
import { schemes } from "../../quant/schemes/schemes.js";
import type { PackedTensor } from "../../tensor/packed-tensor.js";
import { among, draw, extent, few, lead, type DrawnCall } from "../arbitraries.js";
import { packedOperand } from "../packings.js";

export function repackCase({ schemes: listed }: Features): fc.Arbitrary<DrawnCall> {
  const known = fc.constantFrom(...Object.keys(listed).filter((name) => Object.hasOwn(schemes, name)));
  return draw(
    {
      lead,
      rows: few,
      width: extent,
      blocks: among(0, 1, 2),
      scheme: known,
    },
    ({ lead, rows, width, blocks, scheme }, random) => ({
      inputs: [packedOperand(random, [...lead, rows, 32 * blocks + width], { scheme, liked: false })],
      run([x], { kernels }) {
        // Without a kernel for it there is no layout but the plain one; what does not divide stays plain.
        const liked = kernels.repack ? liking(x, listed[scheme]) : repack(x, "plain");
        return [dequantize(liked), ...repack(liked, "plain").parts.map((part) => part.retain())];
      },
    }),
  );
}

function liking(x: PackedTensor, layout: string): PackedTensor {
  try {
    return repack(x, layout);
  } catch (error) {
    if (error instanceof BackendError) return repack(x, "plain");
    throw error;
  }
}
