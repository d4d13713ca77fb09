// Packed operands: the built-in schemes, and others that exist only to be decoded, so that every feature of a scheme's description occurs:
// codes that reach over words, zeros, offsets, two levels, tiles, codebooks, numbers per row and per tensor.
import fc from "fast-check";
import type { Features } from "../backends/backend.js";
import { BackendError } from "../core/errors.js";
import type { Random } from "../core/random.js";
import { rowsOf, type Shape } from "../core/shape.js";
import { encodedBy } from "../ops/expect.js";
import { packBits } from "../quant/schemes/bits.js";
import { f32ToBf16, f32ToF16 } from "../quant/schemes/float-codes.js";
import { groupWidth, partSpecs, type Part, type Scheme, type Words } from "../quant/schemes/scheme.js";
import { schemes } from "../quant/schemes/schemes.js";
import { floats, type Taste } from "./arbitraries.js";
import { isPacked, type HostOperand, type PackedOperand } from "./operands.js";

type Form = Omit<Scheme, "name" | "encode">;

const forms: Readonly<Record<string, Form>> = {
  affine4: {
    parts: [
      { role: "code", per: "element", bits: 4, as: "uint" },
      { role: "scale", per: "block", bits: 16, as: "f16" },
      { role: "offset", per: "block", bits: 16, as: "f16" },
    ],
    block: 8,
  },
  zeros: {
    parts: [
      { role: "code", per: "element", bits: 8, as: "uint" },
      { role: "zero", per: "block", bits: 8, as: "uint" },
      { role: "scale", per: "row", bits: 32, as: "f32" },
    ],
    block: 16,
  },
  twoLevel: {
    parts: [
      { role: "code", per: "element", bits: 5, as: "uint" },
      { role: "scale", per: "block", bits: 6, as: "uint" },
      { role: "scale", per: "superblock", bits: 16, as: "f16" },
      { role: "offset", per: "block", bits: 6, as: "int" },
      { role: "offset", per: "superblock", bits: 16, as: "bf16" },
    ],
    block: 4,
    superblock: 16,
  },
  tiles: {
    parts: [
      { role: "code", per: "element", bits: 8, as: "e4m3" },
      { role: "scale", per: "tile", bits: 32, as: "f32" },
    ],
    block: 1,
    tile: [2, 4],
  },
  codebook: {
    parts: [
      { role: "code", per: "element", bits: 4, as: [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6] },
      { role: "scale", per: "block", bits: 8, as: "e8m0" },
    ],
    block: 32,
  },
  whole: {
    parts: [
      { role: "code", per: "element", bits: 3, as: "int" },
      { role: "scale", per: "tensor", bits: 16, as: "f16" },
    ],
    block: 1,
  },
};

/** Schemes that only the suite knows. */
export const unlisted: Readonly<Record<string, Scheme>> = /* @__PURE__ */ Object.fromEntries(
  Object.entries(forms).map(([name, form]) => [`test-${name}`, { ...form, name: `test-${name}`, encode: refuse }]),
);

function refuse(): never {
  throw new BackendError("quantize: a scheme of the suite's own must only be decoded, got numbers to encode");
}

/** Which scheme, and whether in the layout that the backend likes. */
export interface SchemeChoice {
  readonly scheme: string;
  readonly liked: boolean;
}

/** Those that backends have kernels for, and whose rounding the oracle can judge where numbers are not exact. */
const usual = ["f16", "bf16", "q8_0", "q4_0"];

export const schemeChoice: fc.Arbitrary<SchemeChoice> = fc.record({
  scheme: fc.oneof(
    { arbitrary: fc.constantFrom(...usual), weight: 3 },
    { arbitrary: fc.constantFrom(...Object.keys(schemes)), weight: 1 },
    { arbitrary: fc.constantFrom(...Object.keys(unlisted)), weight: 1 },
    // Every backend lists it, and a kernel for packed operands must meet one.
    { arbitrary: fc.constant("q8_0"), weight: 1 },
  ),
  liked: fc.boolean(),
});

/** How a matrix is stored: plain as often as packed. */
export const storedAs: fc.Arbitrary<SchemeChoice | undefined> = orPlain(schemeChoice);

/** How a pool of keys or values is stored: by a scheme that encodes each token by itself and that the backend encodes. */
export function poolStoredAs(features: Features): fc.Arbitrary<SchemeChoice | undefined> {
  const names = usual.filter((name) => encodedBy(features).includes(name));
  return orPlain(fc.constantFrom(...names).map((scheme) => ({ scheme, liked: false })));
}

function orPlain(stored: fc.Arbitrary<SchemeChoice>): fc.Arbitrary<SchemeChoice | undefined> {
  return fc.oneof({ withCrossShrink: true }, fc.constant(undefined), stored);
}

/** Random numbers stored by a scheme: encoded where it can, else random codes. */
export function packedOperand(
  random: Random,
  shape: Shape,
  { scheme: name, liked }: SchemeChoice,
  of: Taste = "normal",
  scale: number = 1,
): PackedOperand {
  if (Object.hasOwn(schemes, name)) {
    const scheme = schemes[name];
    // What f16 can hold, as a number or as the scale of a block; no scale of 32 or 8 bits that devices may flush to zero.
    const taste = of === "wide" && !usual.includes(name) ? "normal" : of;
    const { data } = floats(random, shape, taste, taste === "wide" ? scale * 2 ** -8 : scale);
    return { shape, scheme, parts: scheme.encode(data as Float32Array, shape), liked };
  }
  const scheme = unlisted[name];
  return { shape, scheme, parts: scheme.parts.map((part, i) => partWords(random, scheme, part, i, shape)), liked };
}

function partWords(random: Random, scheme: Scheme, part: Part, index: number, shape: Shape): Words {
  const { width } = rowsOf(shape);
  const rows = partSpecs(scheme, shape)[index].shape[0];
  const group = groupWidth(scheme, part);
  const perRow = part.per === "tensor" ? 1 : width === 0 ? 0 : Math.ceil(width / Math.min(group, width));
  const codes = Array.from({ length: rows * perRow }, () => code(random, part));
  return part.as === "f32" ? Float32Array.from(codes) : packBits(codes, part.bits, rows, perRow);
}

/** A code whose number is finite and of moderate size. */
function code(random: Random, { as, bits }: Part): number {
  if (as === "f32") return random.normal() / 8;
  if (as === "f16") return f32ToF16(random.normal() / 8);
  if (as === "bf16") return f32ToBf16(random.normal() / 8);
  if (as === "e8m0") return 120 + random.integer(8);
  const drawn = random.integer(2 ** bits);
  return as === "e4m3" && (drawn & 0x7f) === 0x7f ? 0 : drawn;
}

/** A plain or packed matrix. */
export function matrix(random: Random, shape: Shape, stored: SchemeChoice | undefined, of: Taste): HostOperand {
  return stored ? packedOperand(random, shape, stored, of) : floats(random, shape, of);
}

/** The operands among `places` that gradients may be taken by. */
export const plainOf = (inputs: readonly HostOperand[], places: readonly number[]): number[] =>
  places.filter((i) => inputs[i] !== undefined && !isPacked(inputs[i]));
