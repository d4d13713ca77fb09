// Codes of packed rows as bytes, for products that multiply four of them at a time.
import { codebookOf } from "./described.js";
import { bitsOf } from "./packed.js";

/** Less 8, as q4_0's codes are: 128 - 8 borrows nothing from the next byte, and 128 only turns the sign bit. */
const lessEight = (bytes: string): string => `((${bytes} | 0x80808080u) - 0x08080808u) ^ 0x80808080u`;

/** `fn bytes_of(word: u32) -> u32`: the four 4-bit codes in the low half of a word, as int8; nothing for formats whose codes are bytes. */
export function nibbleBytes(format: string): string {
  if (bitsOf(format) === 8) return "";
  const book = codebookOf(format);
  if (book !== undefined)
    return `${book}
fn bytes_of(word: u32) -> u32 {
  let bytes = bitcast<vec4u>(book_of((vec4u(word) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u))) & vec4u(0xffu);
  return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}`;
  // Signed codes are 8 more with their highest bit turned.
  return `
fn bytes_of(word: u32) -> u32 {
  let pairs = ((word & 0xffffu) | (word << 8u)) & 0x00ff00ffu;
  let bytes = (pairs | (pairs << 4u)) & 0x0f0f0f0fu;
  return ${lessEight(format === "q4_0" ? "bytes" : "(bytes ^ 0x08080808u)")};
}`;
}

/**
 * `fn NAME_bytes(row: u32, column: u32, width: u32) -> vec4u`: int8 codes from column, a multiple of 16 below width,
 * four to a word. What lies past the row's end stands for nothing.
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
  const nibbles = `
  let first = row * ((width + 7u) / 8u) + column / 8u;
  ${word(0, 8)} ${word(1, 8)}
  return vec4u(bytes_of(word0), bytes_of(word0 >> 16u), bytes_of(word1), bytes_of(word1 >> 16u));`;
  return `${nibbleBytes(format)}
fn ${name}_bytes(row: u32, column: u32, width: u32) -> vec4u {${bitsOf(format) === 4 ? nibbles : bytes}
}`;
}
