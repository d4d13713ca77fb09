// Small floating-point numbers as bit patterns: f16, bf16, e4m3, e5m2 and e8m0, to and from f32. Encoding rounds to nearest, ties to even.

const floats = /* @__PURE__ */ new Float32Array(1);
const bits = /* @__PURE__ */ new Uint32Array(floats.buffer);

/** The 16 bits of the f16 nearest to an f32. Beyond 65504 by half a step or more it is infinity; NaN stays NaN (quiet). */
export function f32ToF16(value: number): number {
  floats[0] = value;
  const sign = (bits[0] >>> 16) & 0x8000;
  const magnitude = bits[0] & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x1ff);
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 lies halfway between 65504 and the next power of two
  if (magnitude < 0x38800000) {
    // Below 2^-14 the code counts steps of 2^-24. Adding 2^52 makes f64 arithmetic round to an integer, ties to even.
    return sign | (Math.abs(floats[0]) * 2 ** 24 + 2 ** 52 - 2 ** 52);
  }
  // The exponent's bias falls from 127 to 15; a carry out of the mantissa raises the exponent, as it should.
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

/** The f16 of a scale or an offset; NaN as one and the same, since engines differ in the sign of the NaN that they compute. */
export function scaleToF16(scale: number): number {
  return Number.isNaN(scale) ? 0x7e00 : f32ToF16(scale);
}

export function f16ToF32(code: number): number {
  const sign = code & 0x8000 ? -1 : 1;
  const exponent = (code >>> 10) & 31;
  const mantissa = code & 0x3ff;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

/** The 16 bits of the bf16 nearest to an f32: its upper half, rounded. */
export function f32ToBf16(value: number): number {
  floats[0] = value;
  const word = bits[0];
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

export function bf16ToF32(code: number): number {
  bits[0] = code << 16;
  return floats[0];
}

/** OCP E4M3 ("fn": no infinities, one NaN per sign): bias 7, largest value 448. */
export function e4m3ToF32(code: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >>> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -9 : sign * (8 + mantissa) * 2 ** (exponent - 10);
}

/** OCP E5M2, an f16 without its lower byte: bias 15, largest finite value 57344. */
export function e5m2ToF32(code: number): number {
  return f16ToF32(code << 8);
}

/** The 8 bits of the e4m3 nearest to an f32, as torch 2.15 rounds: beyond 448, infinity included, it is 448; NaN stays NaN. */
export function f32ToE4m3(value: number): number {
  const code = f32ToSmall(value, 3, -6);
  return (code & 0x7f) < 0x7f || Number.isNaN(value) ? code : code - 1;
}

/** The 8 bits of the e5m2 nearest to an f32: from 61440 on it is infinity; NaN stays NaN. */
export function f32ToE5m2(value: number): number {
  const code = f32ToSmall(value, 2, -14);
  if (Number.isNaN(value)) return (code & 0x80) | 0x7f;
  return (code & 0x7f) < 0x7c ? code : (code & 0x80) | 0x7c;
}

/** The code of the nearest float that has `mantissa` bits behind the sign and the exponent, 2^least the smallest normal; 0x7f where codes end. */
function f32ToSmall(value: number, mantissa: number, least: number): number {
  floats[0] = value;
  const sign = (bits[0] >>> 24) & 0x80;
  const magnitude = Math.abs(floats[0]);
  if (!(magnitude < 2 ** 20)) return sign | 0x7f;
  const exponent = Math.max(((bits[0] >>> 23) & 255) - 127, least);
  // In steps of the exponent's last mantissa bit; adding 2^52 makes f64 arithmetic round to an integer, ties to even. A carry raises the exponent.
  const steps = magnitude * 2 ** (mantissa - exponent) + 2 ** 52 - 2 ** 52;
  return sign | Math.min((exponent - least) * 2 ** mantissa + steps, 0x7f);
}

/** OCP E8M0: a power of two alone, 2^(code - 127); 255 is NaN. */
export function e8m0ToF32(code: number): number {
  return code === 255 ? NaN : 2 ** (code - 127);
}
