// Codes of packed rows as bytes, sixteen at a time.
import { quadDecoder } from "./packed.js";

/**
 * `fn NAME_bytes(row: u32, column: u32, width: u32) -> vec4u` of a format with scales: int8 codes from column, a multiple of 16 below width,
 * four to a word. What lies past the row's end stands for nothing. `fn quad_of(word: u32, next: u32) -> vec4f` makes numbers of a word.
 * @param even whether rows are a multiple of 16 long
 */
export function bytesReader(format: string, name: string, even: boolean): string {
  const word = (i: number, per: number): string => {
    const at = `${name}_codes_at(first + ${i}u)`;
    return even || i === 0
      ? `let word${i} = ${at};`
      : `var word${i} = 0u; if (column + ${i * per}u < width) { word${i} = ${at}; }`;
  };
  const bytes = `
  let first = row * ((width + 3u) / 4u) + column / 4u;
  ${even ? `return ${name}_codes_vec(first);` : `${[0, 1, 2, 3].map((i) => word(i, 4)).join(" ")} return vec4u(word0, word1, word2, word3);`}`;
  // Nibbles stand for -8 to 7; the high bit of each byte keeps the subtraction from borrowing.
  const nibbles = `
  let first = row * ((width + 7u) / 8u) + column / 8u;
  ${word(0, 8)} ${word(1, 8)}
  let halves = vec4u(word0 & 0xffffu, word0 >> 16u, word1 & 0xffffu, word1 >> 16u);
  let pairs = (halves | (halves << vec4u(8u))) & vec4u(0x00ff00ffu);
  let spread = (pairs | (pairs << vec4u(4u))) & vec4u(0x0f0f0f0fu);
  return ((spread | vec4u(0x80808080u)) - vec4u(0x08080808u)) ^ vec4u(0x80808080u);`;
  return `${quadDecoder("q8_0")}
fn ${name}_bytes(row: u32, column: u32, width: u32) -> vec4u {${format === "q4_0" ? nibbles : bytes}
}`;
}
