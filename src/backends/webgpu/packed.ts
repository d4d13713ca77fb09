// WGSL that reads packed numbers: rows begin on words, codes lie from the lowest bit up, and blocks of 32 have an f16 scale.
import type { DType } from "../../core/dtype.js";

const words = (width: string, bits: number): string => `(${width} * ${bits}u + 31u) / 32u`;

/** The bindings of a packed operand's parts. */
export function packedReads(scheme: string, name: string): Record<string, DType> {
  return scheme === "f16" || scheme === "bf16"
    ? { [`${name}_codes`]: "u32" }
    : { [`${name}_codes`]: "u32", [`${name}_scales`]: "u32" };
}

/** `fn NAME_number(row: u32, column: u32, width: u32) -> f32`, where rows are `width` numbers long. */
export function decoder(scheme: string, name: string): string {
  const half = (part: string, at: string, inRow: string): string =>
    `unpack2x16float(${name}_${part}_at(row * (${words(inRow, 16)}) + ${at} / 2u))[${at} % 2u]`;
  const bodies: Readonly<Record<string, string>> = {
    f16: `return ${half("codes", "column", "width")};`,
    bf16: `
  let word = ${name}_codes_at(row * (${words("width", 16)}) + column / 2u);
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, column % 2u == 1u));`,
    q8_0: `
  let word = ${name}_codes_at(row * (${words("width", 8)}) + column / 4u);
  let code = extractBits(bitcast<i32>(word), column % 4u * 8u, 8u);
  return f32(code) * ${half("scales", "(column / 32u)", "((width + 31u) / 32u)")};`,
    q4_0: `
  let word = ${name}_codes_at(row * (${words("width", 4)}) + column / 8u);
  let code = i32(extractBits(word, column % 8u * 4u, 4u)) - 8;
  return f32(code) * ${half("scales", "(column / 32u)", "((width + 31u) / 32u)")};`,
  };
  return `
fn ${name}_number(row: u32, column: u32, width: u32) -> f32 {${bodies[scheme]}
}`;
}

/** An expression of one number of a {@link decoder}, or of four from `column` on. */
export function numbersOf(name: string, count: 1 | 4, row: string, column: string, width: string): string {
  const number = (k: number): string => `${name}_number(${row}, ${column}${k > 0 ? ` + ${k}u` : ""}, ${width})`;
  return count === 1 ? number(0) : `vec4f(${[0, 1, 2, 3].map(number).join(", ")})`;
}
