// Packed numbers. Words are encoded and decoded by the scheme itself; what is added here is how far another device's numbers may lie away:
// where a scaled value lies within its bound of a rounding boundary, it may get the next code.
import type { Kernel } from "../../../backends/backend.js";
import { rowsOf, sizeOf } from "../../../core/shape.js";
import type { PackedView, View } from "../../../core/view.js";
import { decode, type Scheme, type Words } from "../../../quant/schemes/scheme.js";
import { schemeNamed } from "../../../quant/schemes/schemes.js";
import { blank, load, store, type Numbers } from "../cells.js";
import { kinds, oracleStorage } from "../memory.js";
import type { Profile } from "../profile.js";
import { codeSpreads } from "./code-spreads.js";

/**
 * Numbers of one word share the greatest of their bounds, which the word carries until they are decoded; a part that holds no codes gets
 * the greatest of all, only to say that its words are in doubt.
 */
export const quantize =
  (profile: Profile): Kernel<"quantize", void> =>
  ([x], [y], { scheme: name }) => {
    const scheme = schemeNamed("quantize", name);
    const given = load(x, profile);
    const words = scheme.encode(Float32Array.from(given.value), x.shape);
    const spreads = codeSpreads(scheme, given, x.shape, profile);
    const doubt = spreads.reduce((most, one) => Math.max(most, one), 0);
    y.parts.forEach((part, i) => {
      const { offset } = part;
      const own = oracleStorage(part.storage);
      const count = sizeOf(part.shape);
      own.words.set(new Uint32Array(words[i].buffer, words[i].byteOffset, count), offset);
      own.kind.fill(doubt > 0 ? kinds.codes : kinds.word, offset, offset + count);
      own.bound.fill(scheme.parts[i].per === "element" ? 0 : doubt, offset, offset + count);
    });
    if (doubt === 0) return;
    const codes = codesOf(scheme, y);
    const { bound } = oracleStorage(codes.storage);
    spreads.forEach((spread, i) => {
      for (const at of wordsAt(scheme, codes, y, i)) bound[at] = Math.max(bound[at], spread);
    });
  };

export const dequantize =
  (profile: Profile): Kernel<"dequantize", void> =>
  ([x], [y]) =>
    store(y, decoded(x, profile));

/** The numbers that a packed operand stands for. */
export function decoded(x: PackedView, profile: Profile): Numbers {
  const scheme = schemeNamed("dequantize", x.scheme);
  const parts = x.parts.map(wordsOf);
  const out = blank(sizeOf(x.shape));
  out.value.set(decode(scheme, parts, x.shape));
  if (profile.contracts && scheme.parts.length > 2) addRegrouping(profile, scheme, parts, x, out);
  const codes = codesOf(scheme, x);
  const { bound, kind } = oracleStorage(codes.storage);
  for (let i = 0; i < out.bound.length; i++) {
    for (const at of wordsAt(scheme, codes, x, i)) {
      if (bound[at] > 0) out.bound[i] += kind[at] === kinds.codes ? bound[at] : Infinity;
    }
  }
  return out;
}

/** Each step in f32, but with products and sums contracted or regrouped: one rounding of each term per step. */
function addRegrouping(profile: Profile, scheme: Scheme, parts: readonly Words[], x: PackedView, out: Numbers): void {
  const stays = scheme.parts.map(({ role }) => role !== "offset");
  const bare = { ...scheme, parts: scheme.parts.filter((_, i) => stays[i]) };
  const products = decode(
    bare,
    parts.filter((_, i) => stays[i]),
    x.shape,
  );
  for (let i = 0; i < products.length; i++) {
    const size = Math.abs(products[i]) + Math.abs(out.value[i] - products[i]);
    out.bound[i] += scheme.parts.length * profile.unit * size;
  }
}

function wordsOf(part: View): Words {
  const { buffer } = oracleStorage(part.storage).words;
  const length = sizeOf(part.shape);
  return part.dtype === "f32"
    ? new Float32Array(buffer, part.offset * 4, length)
    : new Uint32Array(buffer, part.offset * 4, length);
}

const codesOf = (scheme: Scheme, x: PackedView): View => x.parts[scheme.parts.findIndex(({ role }) => role === "code")];

/** The cells that hold the code of element i: one word, or two where a code reaches over an edge. */
function wordsAt(scheme: Scheme, codes: View, x: PackedView, i: number): readonly number[] {
  const { width } = rowsOf(x.shape);
  const { bits } = scheme.parts[scheme.parts.findIndex(({ role }) => role === "code")];
  const wordsPerRow = codes.shape[1];
  const start = codes.offset + Math.floor(i / width) * wordsPerRow;
  const bit = (i % width) * bits;
  const first = Math.floor(bit / 32);
  const last = Math.floor((bit + bits - 1) / 32);
  return first === last ? [start + first] : [start + first, start + last];
}
