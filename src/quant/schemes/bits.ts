// Codes of n bits in u32 words: code i of a row takes bits [i * n, (i + 1) * n) of the row's bit string, the lowest bit of the first word
// first. A row begins on a word, so any row can be read, gathered or replaced alone; what is left of its last word is 0.

/** Words that `count` codes of `bits` bits take. */
export function wordsFor(count: number, bits: number): number {
  return Math.ceil((count * bits) / 32);
}

/** The mask of the lowest `bits` bits, as an unsigned number. */
export function maskOf(bits: number): number {
  return bits === 32 ? 0xffffffff : 2 ** bits - 1;
}

/** `rows` rows of `perRow` codes each; of a code only the lowest `bits` bits are kept. */
export function packBits(
  codes: ArrayLike<number>,
  bits: number,
  rows: number,
  perRow: number,
): Uint32Array<ArrayBuffer> {
  const wordsPerRow = wordsFor(perRow, bits);
  const words = new Uint32Array(rows * wordsPerRow);
  const mask = maskOf(bits);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) {
      const code = codes[row * perRow + i] & mask;
      const word = row * wordsPerRow + Math.floor((i * bits) / 32);
      const shift = (i * bits) % 32;
      words[word] |= code << shift;
      if (shift + bits > 32) words[word + 1] |= code >>> (32 - shift);
    }
  }
  return words;
}

/** Code `index` of the row that begins at word `start`. */
export function codeAt(words: Uint32Array, start: number, bits: number, index: number): number {
  const word = start + Math.floor((index * bits) / 32);
  const shift = (index * bits) % 32;
  let code = words[word] >>> shift;
  if (shift + bits > 32) code |= words[word + 1] << (32 - shift);
  return (code & maskOf(bits)) >>> 0;
}

/** The inverse of {@link packBits}. */
export function unpackBits(words: Uint32Array, bits: number, rows: number, perRow: number): Uint32Array<ArrayBuffer> {
  const wordsPerRow = wordsFor(perRow, bits);
  const codes = new Uint32Array(rows * perRow);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) codes[row * perRow + i] = codeAt(words, row * wordsPerRow, bits, i);
  }
  return codes;
}
