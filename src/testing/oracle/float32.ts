// The f32 format: where it ends on either side, and how far its numbers lie apart.

/** From here on f32 rounds to infinity. */
export const LARGEST: number = (2 - 2 ** -24) * 2 ** 127;
/** Below it f32 is subnormal. */
export const SMALLEST_NORMAL: number = 2 ** -126;

const float = /* @__PURE__ */ new Float64Array(1);
const words = /* @__PURE__ */ new Uint32Array(float.buffer);

/** The distance between the f32 numbers around y. */
export function ulp(y: number): number {
  float[0] = Math.abs(y);
  if (!(float[0] >= SMALLEST_NORMAL)) return 2 ** -149;
  return 2 ** (((words[1] >>> 20) & 0x7ff) - 1023 - 23);
}
