// WGSL that finds codes of any number of bits in rows of words, packed as quant/schemes/bits.ts does.

/** Where nothing overflows: words that `count` codes take, the word in which one begins, and its shift there. */
function placing(bits: number): {
  words(count: string): string;
  word(index: string): string;
  shift(index: string): string;
} {
  // Of `per` codes that take `unit` words together.
  let [unit, per] = [bits, 32];
  while (unit % 2 === 0) [unit, per] = [unit / 2, per / 2];
  const times = (index: string): string => (unit === 1 ? index : `${index} * ${unit}u`);
  return {
    words: (count) => (per === 1 ? times(count) : `(${times(count)} + ${per - 1}u) / ${per}u`),
    word: (index) => (per === 1 ? times(index) : `${times(index)} / ${per}u`),
    shift: (index) => (per === 1 ? "0u" : `${index} % ${per}u * ${bits}u % 32u`),
  };
}

/** Words of a row of `width` codes. */
export const wordsOf = (bits: number, width: string): string => `(${placing(bits).words(width)})`;

/** Statements for `word`, whose lowest bits are code `index` of `bits` bits in the row that begins at word `first`. */
export function takeBits(window: string, bits: number, index: string): string {
  const { word, shift } = placing(bits);
  if (bits === 32) return `let word = ${window}_at(first + ${index});`;
  const begin = `let shift = ${shift(index)};`;
  if (32 % bits === 0) return `${begin} let word = ${window}_at(first + ${word(index)}) >> shift;`;
  return `${begin} let at = first + ${word(index)};
  var word = ${window}_at(at) >> shift;
  if (shift > ${32 - bits}u) { word |= ${window}_at(at + 1u) << (32u - shift); }`;
}
