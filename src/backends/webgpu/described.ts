// WGSL that reads packed numbers by the description of their scheme: number = (code - zero) * scales + offsets, rounded in the order of
// quant/schemes/scheme.ts. Codes and parts are taken apart by integers alone, since devices may flush what is subnormal as f16.
import { groupWidth, type Part, type Scheme } from "../../quant/schemes/scheme.js";
import { schemeNamed } from "../../quant/schemes/schemes.js";

/** Those that kernels read by their description. */
export const describedNames: readonly string[] = [
  "int8",
  "int8_affine",
  "int4",
  "int4_affine",
  "q4_k",
  "q6_k",
  "mxfp4",
  "fp8_e4m3",
  "fp8_e5m2",
  "fp8_e4m3_tile",
];

export const describedBy = (format: string): Scheme | undefined =>
  describedNames.includes(format) ? schemeNamed("webgpu", format) : undefined;

/** The part that holds a number for each element: the first one of all these schemes. */
export const codesOf = ({ parts }: Scheme): Part => parts[0];

/** The windows of a scheme's parts, in their order. */
export const windowsOf = ({ parts }: Scheme, name: string): string[] =>
  parts.map((_, i) => `${name}_${i === 0 ? "codes" : `part${i}`}`);

/** Of bits in words, in WGSL, where nothing overflows: words that `count` codes take, the word in which one begins, and its shift there. */
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
function numbersOf(name: string, { as, bits }: Part): string {
  return `
fn ${name}(codes: vec4u) -> vec4f {
  ${typeof as === "string" ? meanings[as](bits, as) : "return vec4f(book_of(codes));"}
}`;
}

const meanings: Readonly<Record<string, (bits: number, as: string) => string>> = {
  uint: () => "return vec4f(codes);",
  int: (bits) => `return vec4f(bitcast<vec4i>(codes << vec4u(${32 - bits}u)) >> vec4u(${32 - bits}u));`,
  bf16: () => "return bitcast<vec4f>(codes << vec4u(16u));",
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
function bookOf(book: readonly number[]): string {
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

/** Its text for a format whose codes are those of a codebook. */
export function codebookOf(format: string): string | undefined {
  const scheme = describedBy(format);
  const as = scheme && codesOf(scheme).as;
  return typeof as === "object" ? bookOf(as) : undefined;
}

/** `fn quad_of(word: u32, next: u32) -> vec4f`: four codes' numbers from the lowest bits of a word; `book_of` before it where there is one. */
export function describedQuads(scheme: Scheme): string {
  const part = codesOf(scheme);
  const { as, bits } = part;
  const shifts = [0, 1, 2, 3].map((i) => `${i * bits}u`).join(", ");
  return `${typeof as === "string" ? "" : bookOf(as)}${numbersOf("numbers_of", part)}
fn quad_of(word: u32, next: u32) -> vec4f {
  return numbers_of((vec4u(word) >> vec4u(${shifts})) & vec4u(${2 ** bits - 1}u));
}`;
}

const roles = ["zero", "scale", "offset"] as const;

/** The type of what a group of numbers shares: a component for each role that the scheme has, in the order of the formula. */
export function groupTypeOf({ parts }: Scheme): string {
  const count = roles.filter((role) => parts.some((part) => part.role === role)).length;
  return count === 1 ? "f32" : `vec${count}f`;
}

/** The formula, for expressions of codes' numbers and of what their group shares. */
export function describedNumbers({ parts }: Scheme, codes: string, group: string): string {
  const present = roles.filter((role) => parts.some((part) => part.role === role));
  const signs = { zero: "-", scale: "*", offset: "+" };
  return present.reduce((text, role, i) => {
    const component = present.length === 1 ? group : `${group}.${"xyz"[i]}`;
    return `(${text} ${signs[role]} ${component})`;
  }, codes);
}

/** The word at which the part's row for row `row` of the numbers begins. */
function startOf(scheme: Scheme, part: Part, height: string): string {
  if (part.per === "tensor") return "0u";
  const group = groupWidth(scheme, part);
  const words = group === Infinity ? "1u" : wordsOf(part.bits, `((width + ${group - 1}u) / ${group}u)`);
  if (part.per !== "tile") return `row * ${words}`;
  const [rows] = scheme.tile as readonly number[];
  return `(row / ${height} * ((${height} + ${rows - 1}u) / ${rows}u) + row % ${height} / ${rows}u) * ${words}`;
}

/**
 * `fn NAME_group(row: u32, column: u32, width: u32) -> TYPE` of the {@link groupTypeOf}: what the number there shares with its neighbours.
 * @param height expression that counts the rows of one matrix
 */
export function describedGroup(scheme: Scheme, name: string, height: string): string {
  const windows = windowsOf(scheme, name);
  const { as } = codesOf(scheme);
  const factor = typeof as === "string" ? 1 : stepsOf(as).factor;
  const readers = scheme.parts.slice(1).map((part, i) => {
    const window = windows[i + 1];
    const group = groupWidth(scheme, part);
    const code = part.as === "f32" ? "word" : `${window}_numbers(vec4u(word & ${2 ** part.bits - 1}u)).x`;
    return `${part.as === "f32" ? "" : numbersOf(`${window}_numbers`, part)}
fn ${window}_number(row: u32, column: u32, width: u32) -> f32 {
  let first = ${startOf(scheme, part, height)};
  ${takeBits(window, part.bits, group === Infinity ? "0u" : `column / ${group}u`)}
  return ${code};
}`;
  });
  const products = roles.flatMap((role) => {
    const calls = windows
      .filter((_, i) => scheme.parts[i].role === role)
      .map((window) => `${window}_number(row, column, width)`);
    if (role === "scale" && factor !== 1) calls.push(String(factor));
    return calls.length > 0 ? [calls.join(" * ")] : [];
  });
  return `${readers.join("")}
fn ${name}_group(row: u32, column: u32, width: u32) -> ${groupTypeOf(scheme)} {
  return ${groupTypeOf(scheme)}(${products.join(", ")});
}`;
}

/**
 * Whether products may take codes for int8 ones, with a single scale for each block of 32: scales of 16 bits at most, whose product with those
 * of the other operand is exact in f32.
 */
export function areBytes(scheme: Scheme): boolean {
  const [codes, scale, ...more] = scheme.parts;
  const whole = codes.as === "int" || typeof codes.as !== "string";
  const alone = more.length === 0 && scale.per === "block" && scheme.block % 32 === 0;
  return whole && codes.bits === 4 && alone && scale.role === "scale" && scale.bits <= 16;
}
