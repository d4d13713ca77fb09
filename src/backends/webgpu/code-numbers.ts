// WGSL for what codes stand for, by integers alone as long as they are codes, since devices may flush what is subnormal as f16.
import type { Part } from "../../quant/schemes/scheme.js";

/** Floats by bits of the mantissa and of the exponent, and the first code, without its sign, that is no number. */
const floats: Readonly<Record<string, readonly [mantissa: number, exponent: number, special: number]>> = {
  f16: [10, 5, 0x7c00],
  e4m3: [3, 4, 0x7f],
  e5m2: [2, 5, 0x7c],
};

/** A codebook as whole numbers of a byte, in steps of `factor`. */
export function stepsOf(book: readonly number[]): { readonly factor: number; readonly words: readonly number[] } {
  const factor = book.every(Number.isInteger) ? 1 : 0.5;
  const bytes = Int8Array.from(book, (number) => number / factor);
  return { factor, words: [...new Uint32Array(bytes.buffer)] };
}

/** `fn NAME(codes: vec4u) -> vec4f`: the numbers that codes stand for; those of a codebook in steps of its factor, with `book_of`. */
export function numbersOf(name: string, { as, bits }: Part): string {
  return `
fn ${name}(codes: vec4u) -> vec4f {
  ${typeof as === "string" ? meanings[as](bits, as) : "return vec4f(book_of(codes));"}
}`;
}

const meanings: Readonly<Record<string, (bits: number, as: string) => string>> = {
  uint: () => "return vec4f(codes);",
  int: (bits) => `return vec4f(bitcast<vec4i>(codes << vec4u(${32 - bits}u)) >> vec4u(${32 - bits}u));`,
  e8m0: () => `let powers = select(codes << vec4u(23u), vec4u(0x00400000u), codes == vec4u());
  return bitcast<vec4f>(select(powers, vec4u(0x7fc00000u), codes == vec4u(255u)));`,
  f16: smallFloat,
  e4m3: smallFloat,
  e5m2: smallFloat,
};

function smallFloat(bits: number, as: string): string {
  const [mantissa, exponent, special] = floats[as];
  const bias = 2 ** (exponent - 1) - 1;
  return `let sizes = codes & vec4u(${2 ** (bits - 1) - 1}u);
  let subnormal = bitcast<vec4u>(vec4f(sizes) * ${2 ** (1 - bias - mantissa)}f);
  let shifted = sizes << vec4u(${23 - mantissa}u);
  let normal = select(shifted + vec4u(${127 - bias}u << 23u), shifted | vec4u(0x7f800000u), sizes >= vec4u(${special}u));
  let signs = (codes >> vec4u(${bits - 1}u)) << vec4u(31u);
  return bitcast<vec4f>(select(normal, subnormal, sizes < vec4u(${2 ** mantissa}u)) | signs);`;
}

/** `fn book_of(codes: vec4u) -> vec4i` of a codebook of sixteen numbers: a look-up by selecting, which takes no memory. */
export function bookOf(book: readonly number[]): string {
  const { words } = stepsOf(book);
  const either = (low: string, high: string, bit: number): string =>
    `select(${low}, ${high}, (codes & vec4u(${bit}u)) != vec4u())`;
  const [first, second] = [0, 2].map((i) => either(`vec4u(${words[i]}u)`, `vec4u(${words[i + 1]}u)`, 4));
  return `
fn book_of(codes: vec4u) -> vec4i {
  let four = ${either(first, second, 8)};
  return bitcast<vec4i>(four << (vec4u(24u) - (codes & vec4u(3u)) * 8u)) >> vec4u(24u);
}`;
}
