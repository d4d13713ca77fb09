// The built-in schemes by name. A scheme of one's own is passed to whoever takes a record like this one; nothing registers itself.
import type { SchemeName } from "../../core/view.js";
import { fp4, nf4 } from "./codebook.js";
import { bf16, f16 } from "./float.js";
import { fp8 } from "./fp8.js";
import { int4, int8 } from "./integer.js";
import { iq4_nl } from "./iq4-nl.js";
import { q4_k, q5_k, q6_k } from "./k-quants.js";
import { mxfp4 } from "./mxfp4.js";
import { q4_0, q4_1 } from "./q4.js";
import { q5_0, q5_1 } from "./q5.js";
import { q8_0 } from "./q8.js";
import type { Scheme } from "./scheme.js";
import { schemeAmong } from "./scheme-among.js";

/** Those that are made by a function stand here as it makes them without options, and in the forms that checkpoints have. */
function byName(): Readonly<Record<SchemeName, Scheme>> {
  const made = [
    int8(),
    int8({ affine: true }),
    int4(),
    int4({ affine: true }),
    fp8(),
    fp8({ per: "tile" }),
    fp8({ format: "e5m2" }),
    fp4(),
    nf4(),
  ];
  const all = [f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k, iq4_nl, mxfp4, ...made];
  return Object.freeze(Object.fromEntries(all.map((scheme) => [scheme.name, scheme])));
}

export const schemes: Readonly<Record<SchemeName, Scheme>> = /* @__PURE__ */ byName();

/** One of {@link schemes}. @throws BackendError */
export const schemeNamed = (where: string, name: SchemeName): Scheme => schemeAmong(schemes, where, name);
