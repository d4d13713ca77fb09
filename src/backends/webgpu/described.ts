// WGSL that reads packed numbers by the description of their scheme: number = (code - zero) * scales + offsets, rounded in the order of
// quant/schemes/scheme.ts.
import { groupWidth, type Part, type Scheme } from "../../quant/schemes/scheme.js";
import { schemeNamed } from "../../quant/schemes/schemes.js";
import { bookOf, numbersOf, stepsOf } from "./code-numbers.js";
import { takeBits, wordsOf } from "./word-bits.js";

/** Those that kernels read by their description. */
export const describedNames: readonly string[] = [
  "int8",
  "int8_affine",
  "int4",
  "int4_affine",
  "q4_1",
  "q4_k",
  "q6_k",
  "iq4_nl",
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
  // A codebook's codes are counted in steps, whose length the scale gets: exact, but for scales of 2^-126 and less.
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
