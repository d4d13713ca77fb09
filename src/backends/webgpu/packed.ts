// WGSL that reads packed numbers: rows begin on words, codes lie from the lowest bit up, and blocks of 32 have an f16 scale. Plain f32 numbers
// count as a format too, whose codes are their bits.
import type { DType } from "../../core/dtype.js";

/** Bits of a code. Formats of fewer than 16 have scales. */
const codeBits: Readonly<Record<string, number>> = { f32: 32, f16: 16, bf16: 16, q8_0: 8, q4_0: 4 };

export const bitsOf = (format: string): number => codeBits[format];
export const hasScales = (format: string): boolean => bitsOf(format) < 16;

/** Words of a row of `width` numbers, in WGSL; nothing here overflows where bits are counted in words. */
const rowWords = (format: string): string => {
  const perWord = 32 / bitsOf(format);
  return perWord === 1 ? "width" : `((width + ${perWord - 1}u) / ${perWord}u)`;
};

/** The bindings of an operand's parts. */
export function packedReads(format: string, name: string): Record<string, DType> {
  return hasScales(format) ? { [`${name}_codes`]: "u32", [`${name}_scales`]: "u32" } : { [`${name}_codes`]: "u32" };
}

/** `fn NAME_scale(row: u32, column: u32, width: u32) -> f32`: the scale of the block that a number lies in. */
export const scaleReader = (name: string): string => `
fn ${name}_scale(row: u32, column: u32, width: u32) -> f32 {
  let block = column / 32u;
  return unpack2x16float(${name}_scales_at(row * ((width + 63u) / 64u) + block / 2u))[block % 2u];
}`;

/** `fn NAME_number(row: u32, column: u32, width: u32) -> f32`, where rows are `width` numbers long. */
function decoder(scheme: string, name: string): string {
  const perWord = 32 / bitsOf(scheme);
  const numbers: Readonly<Record<string, string>> = {
    f16: `unpack2x16float(word)[column % 2u]`,
    bf16: `bitcast<f32>(select(word << 16u, word & 0xffff0000u, column % 2u == 1u))`,
    q8_0: `f32(extractBits(bitcast<i32>(word), column % 4u * 8u, 8u)) * ${name}_scale(row, column, width)`,
    q4_0: `f32(i32(extractBits(word, column % 8u * 4u, 4u)) - 8) * ${name}_scale(row, column, width)`,
  };
  return `${hasScales(scheme) ? scaleReader(name) : ""}
fn ${name}_number(row: u32, column: u32, width: u32) -> f32 {
  let word = ${name}_codes_at(row * ${rowWords(scheme)} + column / ${perWord}u);
  return ${numbers[scheme]};
}`;
}

/** `fn quad_of(word: u32, next: u32) -> vec4f`: four numbers, before any scale, from where their codes begin; two words hold them at most. */
export function quadDecoder(format: string): string {
  const quads: Readonly<Record<string, string>> = {
    f16: "vec4f(unpack2x16float(word), unpack2x16float(next))",
    bf16: "bitcast<vec4f>(vec4u(word << 16u, word & 0xffff0000u, next << 16u, next & 0xffff0000u))",
    q8_0: "vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u))",
    q4_0: "vec4f(vec4i((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u)) - 8)",
  };
  return format in quads ? `\nfn quad_of(word: u32, next: u32) -> vec4f { return ${quads[format]}; }` : "";
}

/**
 * `fn NAME_quad(row: u32, column: u32, width: u32) -> vec4f`: numbers column to column + 3, column a multiple of 4 below width. Those past
 * the row's end stand for nothing, but are finite where the row is. It needs the {@link quadDecoder}.
 * @param even whether rows of f32 are a multiple of 4 long
 */
export function quadReader(format: string, name: string, even: boolean): string {
  const word = (at: string): string => `${name}_codes_at(${at})`;
  const perWord = 32 / bitsOf(format);
  const first = `let first = row * ${rowWords(format)} + column / ${perWord}u;`;
  const scaled = `* ${name}_scale(row, column, width)`;
  const bodies: Readonly<Record<string, string>> = {
    2: `var next = 0u;
  if (column + 2u < width) { next = ${word("first + 1u")}; }
  return quad_of(${word("first")}, next);`,
    4: `return quad_of(${word("first")}, 0u) ${scaled};`,
    8: `return quad_of(${word("first")} >> (column % 8u * 4u), 0u) ${scaled};`,
  };
  const plain = even
    ? `return bitcast<vec4f>(${name}_codes_vec(first));`
    : `var quad = vec4u(${word("first")}, 0u, 0u, 0u);
  if (column + 1u < width) { quad.y = ${word("first + 1u")}; }
  if (column + 2u < width) { quad.z = ${word("first + 2u")}; }
  if (column + 3u < width) { quad.w = ${word("first + 3u")}; }
  return bitcast<vec4f>(quad);`;
  return `${hasScales(format) ? scaleReader(name) : ""}
fn ${name}_quad(row: u32, column: u32, width: u32) -> vec4f {
  ${first}
  ${format === "f32" ? plain : bodies[perWord]}
}`;
}

/** `fn dot_of(a: vec4u, b: vec4u) -> i32`: 16 int8 codes times 16, exactly, so with and without the packed dot the same. */
export const codeDots = (packedDot: boolean): string => `
fn signed_bytes(word: u32) -> vec4i { return bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u); }
fn dot_word(a: u32, b: u32) -> i32 { return ${packedDot ? "dot4I8Packed(a, b)" : "dot(signed_bytes(a), signed_bytes(b))"}; }
fn dot_of(a: vec4u, b: vec4u) -> i32 {
  return dot_word(a.x, b.x) + dot_word(a.y, b.y) + dot_word(a.z, b.z) + dot_word(a.w, b.w);
}`;

/** Functions, and an expression of one number or of four, by what a lane takes at a time. Four divide the width. */
export function numbersReader(
  scheme: string,
  name: string,
  items: 1 | 4,
): { readonly functions: string; readonly at: (row: string, column: string, width: string) => string } {
  return items === 4
    ? {
        functions: `${quadDecoder(scheme)}${quadReader(scheme, name, true)}`,
        at: (row, column, width) => `${name}_quad(${row}, ${column}, ${width})`,
      }
    : {
        functions: decoder(scheme, name),
        at: (row, column, width) => `${name}_number(${row}, ${column}, ${width})`,
      };
}
