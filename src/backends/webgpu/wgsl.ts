// Snippets of WGSL that several kernels use.
import type { Abilities } from "./engine.js";

/** How values of lanes are combined into one that all of them get. */
export interface Joining {
  /** Of the function. */
  readonly name: string;
  readonly type: string;
  /** An expression of two values. Their order does not matter, but for a rounding. */
  readonly combine: (a: string, b: string) => string;
  /** Of the workgroup; a power of two, as is the next one. */
  readonly lanes: number;
  readonly subgroups: boolean;
}

/**
 * `fn NAME(lane: u32, value: TYPE) -> TYPE`, in an order that is always the same. Uniform control flow; may be called again.
 *
 * With subgroups it takes lane i to be number i % width of its subgroup. Workgroups here have one dimension, along which Vulkan (with full
 * subgroups), Metal and Direct3D 12 fill them in order.
 */
export function joined({ name, type, combine, lanes, subgroups }: Joining): string {
  const parts = `${name}_parts`;
  // Of two steps over a square of lanes, each waits for memory once.
  const columns = 2 ** Math.ceil(Math.log2(lanes) / 2);
  const plain = `
  ${parts}[lane] = value;
  workgroupBarrier();
  if (lane < ${columns}u) {
    var part = value;
    for (var i = ${columns}u; i < ${lanes}u; i += ${columns}u) { part = ${combine("part", `${parts}[lane + i]`)}; }
    ${parts}[lane] = part;
  }
  workgroupBarrier();
  var all = ${parts}[0];
  for (var i = 1u; i < ${columns}u; i++) { all = ${combine("all", `${parts}[i]`)}; }`;
  const bySubgroup = `
  let span = min(${lanes}u, subgroup_lanes);
  var mine = value;
  for (var step = 1u; step < span; step *= 2u) {
    let other = subgroupShuffleXor(mine, step);
    mine = ${combine("mine", "other")};
  }
  if (lane % span == 0u) { ${parts}[lane / span] = mine; }
  workgroupBarrier();
  var all = ${parts}[0];
  for (var i = 1u; i < ${lanes}u / span; i++) { all = ${combine("all", `${parts}[i]`)}; }`;
  return `
var<workgroup> ${parts}: array<${type}, ${lanes}>;
fn ${name}(lane: u32, value: ${type}) -> ${type} {${subgroups ? bySubgroup : plain}
  workgroupBarrier(); // the parts may be written again
  return all;
}`;
}

/** {@link joined} for sums or maxima of f32. */
export function reduction(
  name: "all_sum" | "all_max",
  lanes: number,
  { subgroups }: Pick<Abilities, "subgroups">,
): string {
  const combine = (a: string, b: string): string => (name === "all_sum" ? `${a} + ${b}` : `max(${a}, ${b})`);
  return joined({ name, type: "f32", combine, lanes, subgroups });
}

/** `fn is_nan(x: f32) -> bool` by bits: a device may take for granted that there is none. */
export const isNan = `
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }`;

/** `fn half_bits(x: f32) -> u32`, f16, and brain_bits, bf16: nearest, ties to even, by integers, since devices may flush and saturate. */
export const halfBits = `
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return sign | 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; }
  if (magnitude >= 0x38800000u) {
    let rebased = magnitude - 0x38000000u;
    return sign | ((rebased + 0xfffu + ((rebased >> 13u) & 1u)) >> 13u);
  }
  if (magnitude < 0x33000000u) { return sign; }
  // Subnormal: the mantissa with its leading one, shifted to units of 2^-24.
  let shift = 126u - (magnitude >> 23u);
  let mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  let whole = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  return sign | (whole + u32(rest > half || (rest == half && (whole & 1u) == 1u)));
}
fn brain_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits >> 16u) | 0x40u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}`;

/** `fn sigmoid(x: f32) -> f32`: exp of what is not positive does not overflow, and the quotient keeps small results. */
export const sigmoid = `
fn sigmoid(x: f32) -> f32 { return select(exp(x), 1.0, x >= 0.0) / (1.0 + exp(-abs(x))); }`;

/** `fn silu(x: f32) -> f32`, with {@link sigmoid} before it. */
export const silu: string = `${sigmoid}
fn silu(x: f32) -> f32 { return x * sigmoid(x); }`;

/** `fn q8_code(value: f32, inverse: f32) -> i32`: to the nearest, halves away from 0, at most 127 in magnitude. */
export const q8Code = `
fn q8_code(value: f32, inverse: f32) -> i32 {
  let scaled = value * inverse;
  let magnitude = abs(scaled);
  let whole = floor(magnitude);
  // floor(magnitude + 0.5) would fail for 0.49999997, which the addition rounds up to 1.
  let rounded = i32(min(whole + floor(2.0 * (magnitude - whole)), 127.0));
  return select(rounded, -rounded, scaled < 0.0);
}`;
