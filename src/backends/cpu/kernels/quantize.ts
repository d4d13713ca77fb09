// Encodes the rows of x by a scheme's own encoder.
import type { Kernel } from "../../backend.js";
import { schemeNamed } from "../../../quant/schemes/schemes.js";
import { floats, partWords } from "../read.js";

export const quantize: Kernel<"quantize", void> = ([x], [y], { scheme }) => {
  const targets = partWords(y);
  schemeNamed("quantize", scheme)
    .encode(floats(x), x.shape)
    .forEach((part, i) => targets[i].set(part));
};
