// WGSL that packs rows of numbers, a word at a time: whoever makes a word looks at all the numbers that share its scale.

/** Two numbers per word. */
const pairs: Readonly<Record<string, string>> = {
  f16: "half_bits",
  bf16: "brain_bits",
};

interface BlockRule {
  readonly bits: number;
  /** Statements that return what divides a block of the window `name`, from `first` to `end`. */
  divisor(name: string): string;
  /** Statements that return the code of `value`, given the inverse of that. */
  readonly code: string;
}

const blocks: Readonly<Record<string, BlockRule>> = {
  q8_0: {
    bits: 8,
    divisor: (name) => `
  var most = 0.0;
  for (var i = first; i < end; i++) { most = max(most, abs(${name}_at(i))); }
  return most / 127.0;`,
    code: `
  return bitcast<u32>(q8_code(value, inverse)) & 0xffu;`,
  },
  q4_0: {
    bits: 4,
    divisor: (name) => `
  var most = 0.0;
  for (var i = first; i < end; i++) { let value = ${name}_at(i); if (abs(value) > abs(most)) { most = value; } }
  return most / -8.0;`,
    code: `
  return u32(clamp(trunc(value * inverse + 8.5), 0.0, 15.0));`,
  },
};

/**
 * `fn NAME_code_word(row: u32, word: u32, width: u32) -> u32`, and where the scheme has scales NAME_scale_word: words of a row that packs
 * `width` numbers of the f32 window NAME. They need `halfBits` and `q8Code`.
 */
export const encoder = (scheme: string, name: string): string =>
  scheme in pairs ? pairEncoder(pairs[scheme], name) : blockEncoder(blocks[scheme], name);

const pairEncoder = (code: string, name: string): string => `
fn ${name}_code_word(row: u32, word: u32, width: u32) -> u32 {
  let at = row * width + word * 2u;
  var codes = ${code}(${name}_at(at));
  if (word * 2u + 1u < width) { codes |= ${code}(${name}_at(at + 1u)) << 16u; }
  return codes;
}`;

function blockEncoder({ bits, divisor, code }: BlockRule, name: string): string {
  const perWord = 32 / bits;
  return `
fn ${name}_divisor(row: u32, block: u32, width: u32) -> f32 {
  let first = row * width + block * 32u;
  let end = min(first + 32u, (row + 1u) * width);${divisor(name)}
}
fn ${name}_code(value: f32, inverse: f32) -> u32 {${code}
}
fn ${name}_code_word(row: u32, word: u32, width: u32) -> u32 {
  let d = ${name}_divisor(row, word / ${bits}u, width);
  let inverse = select(1.0 / d, 0.0, d == 0.0);
  let first = word * ${perWord}u;
  var codes = 0u;
  for (var i = 0u; i < min(${perWord}u, width - first); i++) {
    codes |= ${name}_code(${name}_at(row * width + first + i), inverse) << (i * ${bits}u);
  }
  return codes;
}
fn ${name}_scale_word(row: u32, word: u32, width: u32) -> u32 {
  var scales = half_bits(${name}_divisor(row, 2u * word, width));
  if (word * 64u + 32u < width) { scales |= half_bits(${name}_divisor(row, 2u * word + 1u, width)) << 16u; }
  return scales;
}`;
}
