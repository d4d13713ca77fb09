// Snippets of WGSL that several kernels use.
import type { Abilities } from "./engine.js";

/**
 * `fn all_sum(lane: u32, value: f32) -> f32`, and all_max: over the workgroup's lanes, a power of two of them, in an order that is always the
 * same. Every lane gets the result. Uniform control flow; may be called again.
 */
export function reduction(
  name: "all_sum" | "all_max",
  lanes: number,
  { subgroups }: Pick<Abilities, "subgroups">,
): string {
  const combine = (a: string, b: string): string => (name === "all_sum" ? `${a} + ${b}` : `max(${a}, ${b})`);
  const within = name === "all_sum" ? "subgroupAdd" : "subgroupMax";
  const plain = `
  ${name}_parts[lane] = value;
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { ${name}_parts[lane] = ${combine(`${name}_parts[lane]`, `${name}_parts[lane + half]`)}; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&${name}_parts[0]);`;
  const bySubgroup = `
  let mine = ${within}(value);
  if (subgroup_lane == 0u) { ${name}_parts[lane / subgroup_lanes] = mine; }
  workgroupBarrier();
  var all = ${name}_parts[0];
  for (var i = 1u; i < ${lanes}u / subgroup_lanes; i++) { all = ${combine("all", `${name}_parts[i]`)}; }
  workgroupBarrier();
  return all;`;
  return `
var<workgroup> ${name}_parts: array<f32, ${lanes}>;
fn ${name}(lane: u32, value: f32) -> f32 {${subgroups ? bySubgroup : plain}
}`;
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
