// Elementary functions: four f32 numbers at a time, or one through f64. All are within 4 ulp of the exact value for every f32 argument,
// subnormal results, infinities and NaN included. No table and no code is borrowed: the reductions are the usual ones (Cody & Waite 1980,
// Payne & Hanek 1983), f64 polynomials are Taylor series cut where f32 no longer sees the rest, and f32 polynomials are minimax fits by the
// Remez exchange, with the error of the fit relative to the function and their coefficients then rounded to f32.
import { madd } from "./simd";

// Constants lie in memory, where each costs a load; written into the code, each would take three instructions whenever it is used.
const CONSTANTS = memory.data<f32>([
  -104, 89, 1.4426950408889634, -0.693145751953125, -1.4286068202862268e-6, 1, // of exp: its ends, 1 / ln 2, ln 2 in two parts, 1
  0.0013814598568172983, 0.008368716878500574, 0.04166838804685977, 0.16666520631722856, 0.49999993447789065, // q of exp
  12583166, 12583103, 5.421010862427522e-20, // 1.5 * 2^23 + 2 * 127, 1.5 * 2^23 + 127 + 64, 2^-64
  -0.0, 2, 0.625, // of sigmoid and tanh
  -0.0057049871639655025, 0.02063908738851523, -0.05373971512629048, 0.13331442198606888, -0.3333328194202567, // p of tanh
]);

function constant(i: usize): v128 {
  return v128.load32_splat(CONSTANTS + (i << 2));
}

/**
 * exp(x) = 2^n exp(r) with n = round(x / ln 2), |r| <= ln(2) / 2. ln 2 is taken in two parts, the first of 15 bits, so that n times it
 * is exact. exp(r) = 1 + r + r^2 q(r), q of degree 4: the fit is good to 2^-28.
 */
export function exp4(x: v128): v128 {
  // Beyond these ends the result is 0 or infinity. With this order of the operands NaN stays NaN.
  x = f32x4.pmin(f32x4.pmax(x, constant(0)), constant(1));
  const base = constant(11);
  const shifted = madd(x, constant(2), base);
  // 2^n is not always an f32, its two halves are; the first product is exact, so the result is rounded once, subnormal or not.
  const half = i32x4.shr_s(shifted, 1);
  const first = i32x4.shl(half, 23), second = i32x4.shl(i32x4.sub(shifted, half), 23);
  return f32x4.mul(f32x4.mul(nearOne(x, f32x4.sub(shifted, base)), first), second);
}

/** The same bits for x <= 0, and sooner: 2^n comes as 2^(n + 64) and 2^-64. */
export function expDown4(x: v128): v128 {
  x = f32x4.pmax(x, constant(0));
  const base = constant(12);
  // A number up to 2^22 that is added to 1.5 * 2^23 loses its fraction, and its integer stands in the low bits. The base has brought
  // with it what an exponent is biased by; the other bits fall off.
  const shifted = madd(x, constant(2), base);
  return f32x4.mul(f32x4.mul(nearOne(x, f32x4.sub(shifted, base)), i32x4.shl(shifted, 23)), constant(13));
}

/** exp(x) / 2^n */
function nearOne(x: v128, n: v128): v128 {
  const r = madd(n, constant(4), madd(n, constant(3), x));
  let q = madd(r, constant(6), constant(7));
  q = madd(q, r, constant(8));
  q = madd(q, r, constant(9));
  q = madd(q, r, constant(10));
  return f32x4.add(madd(q, f32x4.mul(r, r), r), constant(5));
}

/** The bits that a lane of {@link exp4} has. */
export function expOf(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/** With e = exp(-|x|), which never overflows: 1 / (1 + e), or e / (1 + e) for negative x. */
export function sigmoid4(x: v128): v128 {
  const one = constant(5);
  const e = expDown4(v128.or(x, constant(14)));
  // Arithmetic shift: all bits where x has a minus sign. Of -0 and NaN, either choice is right.
  return f32x4.div(v128.bitselect(e, one, i32x4.shr_s(x, 31)), f32x4.add(one, e));
}

/** The bits that a lane of {@link sigmoid4} has. */
export function sigmoidOf(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}

/**
 * 1 - 2 / (exp(2 |x|) + 1) with the sign of x. Where that cancels, for |x| below 0.625, it is x + x^3 p(x^2), p of degree 4: the fit is
 * good to 2^-27.
 */
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x);
  const one = constant(5), two = constant(15);
  const far = f32x4.sub(one, f32x4.div(two, f32x4.add(exp4(f32x4.mul(size, two)), one)));
  const z = f32x4.mul(size, size);
  let p = madd(z, constant(17), constant(18));
  p = madd(p, z, constant(19));
  p = madd(p, z, constant(20));
  p = madd(p, z, constant(21));
  const near = madd(f32x4.mul(p, z), size, size);
  return v128.or(v128.bitselect(near, far, f32x4.lt(size, constant(16))), v128.and(x, constant(14)));
}

/** The bits that a lane of {@link tanh4} has. */
export function tanhOf(x: f32): f32 {
  return f32x4.extract_lane(tanh4(f32x4.splat(x)), 0);
}

/** log(x), rounded once from {@link logWide}. */
export function logOf(x: f32): f32 {
  return f32(logWide(f64(x)));
}

/**
 * log(x), good to 2^-34, for x that is 0, negative, not finite, or in the normal range of f64. x = 2^k m with m from sqrt(1/2) to
 * sqrt(2), and log(m) = 2 artanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...) with s = (m - 1) / (m + 1).
 */
export function logWide(x: f64): f64 {
  if (!(x > 0)) return x == 0 ? -Infinity : NaN;
  if (x == Infinity) return x;
  const bits = reinterpret<i64>(x);
  const k = (bits - 0x3fe6a09e667f3bcd) >> 52; // the bits of sqrt(1/2)
  const m = reinterpret<f64>(bits - (k << 52));
  const s = (m - 1) / (m + 1);
  const z = s * s;
  const series: f64 = z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11)))));
  return f64(k) * 0.6931471805599453 + (2 * s + 2 * s * series);
}

export function sinOf(x: f32): f32 {
  return abs(x) < 0.000244140625 ? x : wave(x, 0); // below 2^-12 they are equal, and -0 stays -0
}

export function cosOf(x: f32): f32 {
  return wave(x, 1);
}

/**
 * sin(x + quarters pi / 2). x is brought to r in [-pi/4, pi/4] and a number of quarter turns; sine or cosine of r are Taylor series in f64.
 * Up to 2^25, pi / 2 is taken in two parts of which the first has 28 bits: its product with the number of quarters is exact.
 */
function wave(x: f32, quarters: i32): f32 {
  if (!(abs(x) < f32(Infinity))) return NaN;
  let r: f64;
  if (abs(x) <= 33554432) {
    const n = nearest(f64(x) * 0.6366197723675814);
    r = f64(x) - n * 1.570796325802803 - n * 9.920935796805404e-10;
    quarters += i32(n);
  } else {
    const turns = manyTurns(x);
    const whole = i32((turns + (1 << 61)) >> 62);
    r = f64(turns - (i64(whole) << 62)) * 3.406121580086555e-19; // pi / 2 * 2^-62
    if (x < 0) r = -r;
    quarters += x < 0 ? -whole : whole;
  }
  const z = r * r;
  let y: f64;
  if (quarters & 1) {
    y = 1 + z * (-1.0 / 2 + z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800)))));
  } else {
    y = r + r * z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 + z * (-1.0 / 39916800)))));
  }
  return f32(quarters & 2 ? -y : y);
}

/**
 * |x| * 2 / pi modulo 4, in units of 2^-62, for |x| of 2^25 or more. |x| is an integer of 24 bits times 2^e: bits of 2 / pi in front of
 * place e - 1 add whole turns, and 96 bits from there are enough for all that f32 can ask.
 */
function manyTurns(x: f32): i64 {
  const twoOverPi = memory.data<u32>([
    0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab,
  ]);
  const bits = reinterpret<u32>(x) & 0x7fffffff;
  const integer = u64((bits & 0x7fffff) | 0x800000);
  const skip = (bits >> 23) - 152;
  const at = twoOverPi + ((skip >> 5) << 2);
  const shift = u64(skip & 31);
  const a = u64(load<u32>(at)), b = u64(load<u32>(at, 4)), c = u64(load<u32>(at, 8)), d = u64(load<u32>(at, 12));
  const high = (((a << 32) | b) << shift) | (c >> (32 - shift));
  const low = (((c << 32) | d) << shift) >> 32;
  return i64(integer * high + ((integer * low) >> 32));
}
