// WGSL that reads packed numbers: rows begin on words, codes lie from the lowest bit up. Formats that are met in every pass have texts of their
// own, the others come from the description of their scheme. Plain f32 numbers count as a format too, whose codes are their bits.
import type { DType } from "../../core/dtype.js";
import {
  areBytes, codesOf, describedBy, describedGroup, describedNumbers, describedQuads, groupTypeOf, windowsOf,
} from "./described.js"; // prettier-ignore
import { takeBits, wordsOf } from "./word-bits.js";

/** Bits of a code in formats with texts of their own. Those of fewer than 16 have an f16 scale per block of 32. */
const ownBits: Readonly<Record<string, number>> = { f32: 32, f16: 16, bf16: 16, q8_0: 8, q4_0: 4 };

/** Packed formats with texts of their own: caches and activations are of these. */
export const ownFormats: readonly string[] = Object.keys(ownBits).filter((format) => format !== "f32");

export function bitsOf(format: string): number {
  const scheme = describedBy(format);
  return scheme ? codesOf(scheme).bits : ownBits[format];
}

/** Whether numbers share something, a scale at least, and the type of that. */
export const hasGroups = (format: string): boolean => bitsOf(format) < 16;

export function groupType(format: string): string {
  const scheme = describedBy(format);
  return scheme ? groupTypeOf(scheme) : "f32";
}

/** Whether products may take the codes for int8, with one scale per block of 32. */
export function hasByteCodes(format: string): boolean {
  const scheme = describedBy(format);
  return scheme ? areBytes(scheme) : hasGroups(format);
}

/** The bindings of an operand's parts. */
export function packedReads(format: string, name: string): Record<string, DType> {
  const scheme = describedBy(format);
  if (scheme) {
    return Object.fromEntries(
      windowsOf(scheme, name).map((window, i): [string, DType] => [
        window,
        scheme.parts[i].as === "f32" ? "f32" : "u32",
      ]),
    );
  }
  return hasGroups(format) ? { [`${name}_codes`]: "u32", [`${name}_scales`]: "u32" } : { [`${name}_codes`]: "u32" };
}

/**
 * `fn NAME_group(row: u32, column: u32, width: u32) -> TYPE` of the {@link groupType}: what a number shares with others, their scale unless a
 * description says more.
 * @param height expression for the rows of one matrix, since tiles do not reach over its end
 */
export function groupReader(format: string, name: string, height: string): string {
  const scheme = describedBy(format);
  if (scheme) return describedGroup(scheme, name, height);
  return `
fn ${name}_group(row: u32, column: u32, width: u32) -> f32 {
  let block = column / 32u;
  return unpack2x16float(${name}_scales_at(row * ((width + 63u) / 64u) + block / 2u))[block % 2u];
}`;
}

/** An expression for four numbers, from what `quad_of` made of their codes and what their group shares. */
export function scaled(format: string, quad: string, group: string): string {
  const scheme = describedBy(format);
  return scheme ? describedNumbers(scheme, quad, group) : `${quad} * ${group}`;
}

/** `fn quad_of(word: u32, next: u32) -> vec4f`: four numbers, before any scale, from where their codes begin; two words hold them at most. */
export function quadDecoder(format: string): string {
  const quads: Readonly<Record<string, string>> = {
    f16: "vec4f(unpack2x16float(word), unpack2x16float(next))",
    bf16: "bitcast<vec4f>(vec4u(word << 16u, word & 0xffff0000u, next << 16u, next & 0xffff0000u))",
    q8_0: "vec4f(bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u))",
    q4_0: "vec4f(vec4i((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u)) - 8)",
  };
  const scheme = describedBy(format);
  if (scheme) return describedQuads(scheme);
  return format in quads ? `\nfn quad_of(word: u32, next: u32) -> vec4f { return ${quads[format]}; }` : "";
}

/** An expression for the quad `step` of the codes that begin with the lowest bit of `words`, a vector; before any scale. */
export function quadIn(format: string, words: string, step: number): string {
  const word = (i: number): string => `${words}.${"xyzw"[i]}`;
  const bits = bitsOf(format);
  if (bits === 32) return `bitcast<vec4f>(${words})`;
  if (bits === 16) return `quad_of(${word(2 * step)}, ${word(2 * step + 1)})`;
  const [first, shift] = [Math.floor((bits * step) / 8), (4 * bits * step) % 32];
  const low = shift === 0 ? word(first) : `(${word(first)} >> ${shift}u)`;
  const high = shift + 4 * bits > 32 ? ` | (${word(first + 1)} << ${32 - shift}u)` : "";
  return `quad_of(${low}${high}, 0u)`;
}

/**
 * `fn NAME_chunk(row: u32, column: u32, width: u32) -> vec4u`: the words of codes column to column + 15 of a format with groups, column a
 * multiple of 16 below width, from the lowest bit up; 0 past the row's end.
 * @param even whether rows are a multiple of 16 long
 */
export function chunkReader(format: string, name: string, even: boolean): string {
  const words = bitsOf(format) / 2;
  const load = (i: number): string => `chunk[${i}] = ${name}_codes_at(row * row_words + at + ${i}u);`;
  const loads = [0, 1, 2, 3]
    .slice(0, words)
    .map((i) => (even ? load(i) : `if (at + ${i}u < row_words) { ${load(i)} }`));
  return `
fn ${name}_chunk(row: u32, column: u32, width: u32) -> vec4u {
  let row_words = ${wordsOf(bitsOf(format), "width")};
  let at = column / 16u * ${words}u;
  var chunk = vec4u();
  ${even && words === 4 ? `chunk = ${name}_codes_vec(row * row_words + at);` : loads.join(" ")}
  return chunk;
}`;
}

/**
 * `fn NAME_quad(row: u32, column: u32, width: u32) -> vec4f`: numbers column to column + 3, column a multiple of 4 below width. Those past
 * the row's end stand for nothing, but are finite where the row is. It needs the {@link quadDecoder}.
 * @param even whether rows of f32 are a multiple of 4 long @param height of a packed operand, as {@link groupReader} takes it
 */
export function quadReader(format: string, name: string, even: boolean, height: string = ""): string {
  const first = `let first = row * ${wordsOf(bitsOf(format), "width")};`;
  if (hasGroups(format)) {
    return `${groupReader(format, name, height)}
fn ${name}_quad(row: u32, column: u32, width: u32) -> vec4f {
  ${first}
  ${takeBits(`${name}_codes`, 4 * bitsOf(format), "column / 4u")}
  return ${scaled(format, "quad_of(word, 0u)", `${name}_group(row, column, width)`)};
}`;
  }
  const halves = `let at = first + column / 2u;
  var next = 0u;
  if (column + 2u < width) { next = ${name}_codes_at(at + 1u); }
  return quad_of(${name}_codes_at(at), next);`;
  const words = even
    ? `return bitcast<vec4f>(${name}_codes_vec(first + column));`
    : `let at = first + column;
  var quad = vec4u(${name}_codes_at(at), 0u, 0u, 0u);
  if (column + 1u < width) { quad.y = ${name}_codes_at(at + 1u); }
  if (column + 2u < width) { quad.z = ${name}_codes_at(at + 2u); }
  if (column + 3u < width) { quad.w = ${name}_codes_at(at + 3u); }
  return bitcast<vec4f>(quad);`;
  return `
fn ${name}_quad(row: u32, column: u32, width: u32) -> vec4f {
  ${first}
  ${format === "f32" ? words : halves}
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
  format: string,
  name: string,
  items: 1 | 4,
  height: string,
): { readonly functions: string; readonly at: (row: string, column: string, width: string) => string } {
  const quad = (row: string, column: string, width: string): string => `${name}_quad(${row}, ${column}, ${width})`;
  return {
    functions: `${quadDecoder(format)}${quadReader(format, name, items === 4, height)}`,
    at: (row, column, width) =>
      items === 4 ? quad(row, column, width) : `${quad(row, `${column} / 4u * 4u`, width)}[${column} % 4u]`,
  };
}
