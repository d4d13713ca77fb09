// The order of topK and route, for shaders that count how many come before each.

/** `fn rank_key(bits: u32) -> u32` of an f32: larger for what comes earlier. Numbers by size, 0 and -0 alike, NaN last. */
export const rankKey = `
fn rank_key(bits: u32) -> u32 {
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0u; }
  return select(0x80000000u + magnitude, 0x80000000u - magnitude, bits >= 0x80000000u);
}`;
