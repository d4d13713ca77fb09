// Quantization-aware training: numbers rounded as an integer scheme stores them, on any backend, with gradients that pass the rounding.
import { ConfigError } from "../core/errors.js";
import { rowsOf, type Shape } from "../core/shape.js";
import { add, and, div, less, maximum, minimum, mul, shiftLeft, shiftRight, sub } from "../ops/binary.js";
import { bitcast, cast } from "../ops/cast.js";
import { fill, zeros } from "../ops/fill.js";
import { max, min, sum } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { select } from "../ops/select.js";
import { slice } from "../ops/slice.js";
import { abs, neg, round } from "../ops/unary.js";
import { writeSlice } from "../ops/write-slice.js";
import { ambient, withTape } from "../tensor/ambient.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { IntegerScheme } from "./schemes/integer.js";

/** Scales that do not follow from the numbers: one per group, as many as the scheme stores, in their order. */
export interface GivenScales {
  /** f32 [groups], positive; used as the scheme would store them. */
  readonly scale: Tensor;
  /** f32 [groups] integers of 0 .. 2^bits - 1, if the scheme is affine. */
  readonly zero?: Tensor;
}

/** What a scheme stores of x: integers as f32, code - zero [groups, size], and per group [groups, 1] scale and zero point. */
export interface Quantized {
  readonly numbers: Tensor;
  readonly scale: Tensor;
  readonly zero: Tensor | undefined;
  /** x in units of the scale, plus the zero point: what is rounded. */
  readonly scaled: Tensor;
}

/**
 * decode(encode(x)) by an integer scheme, composed on the device: bit for bit what the host's encoder gives where division is IEEE's. Rows may
 * end in a short group.
 *
 * The gradient passes straight through to x. With scales given it is 0 where x lies beyond the codes, and the scales get that of LSQ (Esser et
 * al. 2020, "Learned step size quantization"): per number round(x / s) - x / s inside, the last code beyond, divided by the root of (numbers
 * of a group x greatest code).
 *
 * @param x f32 [..., width] @returns f32 of the same shape @throws ShapeError, DTypeError; ConfigError for a scheme that would search for its scales
 */
export function fakeQuant(x: Tensor, scheme: IntegerScheme, given?: GivenScales): Tensor {
  if (scheme.scales === "leastSquares" && !given) {
    throw new ConfigError(
      `fakeQuant: scales by least squares must be given, got ${scheme.name} without; they are not searched for on the device: give them, or take absmax`,
    );
  }
  const y = withTape(undefined, () =>
    scope(() => {
      const { numbers, scale } = quantized(x, scheme, given);
      return ungrouped(mul(numbers, scale), x.shape, scheme);
    }),
  );
  ambient.tape?.ran({
    name: "fakeQuant",
    attrs: {},
    inputs: [x, given?.scale, given?.zero],
    outputs: [y],
    gradient: ([ofX, scale, zero], _, [dy]) => {
      if (!dy || !scale) return [dy, undefined, undefined];
      return [...gradients(ofX as Tensor, dy, scheme, { scale: scale as Tensor, zero: zero as Tensor }), undefined];
    },
  });
  return y;
}

function gradients(x: Tensor, dy: Tensor, scheme: IntegerScheme, given: GivenScales): [dx: Tensor, dScale: Tensor] {
  const { numbers, scaled, zero } = quantized(x, scheme, given);
  const [least, most] = codesOf(scheme);
  const nothing = fill(x.backend, [], 0);
  const arriving = grouped(dy, scheme);
  const within = (given: Tensor, beyond: Tensor): Tensor =>
    select(less(scaled, least), beyond, select(less(fill(x.backend, [], most), scaled), beyond, given));
  const unrounded = zero ? sub(scaled, zero) : scaled;
  const slope = sub(numbers, within(unrounded, nothing));
  const share = 1 / Math.sqrt(numbers.shape[1] * most);
  const dScale = mul(sum(mul(arriving, slope)), share);
  return [ungrouped(within(arriving, nothing), x.shape, scheme), reshape(dScale, given.scale.shape)];
}

/** Each step in f32 and in the order of the host's encoder (schemes/integer.ts). */
export function quantized(x: Tensor, scheme: IntegerScheme, given?: GivenScales): Quantized {
  const { backend } = x;
  const [least, most] = codesOf(scheme);
  const groups = grouped(x, scheme);
  const column = [groups.shape[0], 1];
  const nothing = fill(backend, [], 0);
  const low = minimum(min(groups), 0);
  const whole = scheme.affine ? sub(maximum(max(groups), 0), low) : max(abs(groups));
  const scale = stored(given ? reshape(given.scale, column) : div(whole, most), scheme);
  const inScales = (numbers: Tensor): Tensor => select(less(nothing, scale), div(numbers, scale), nothing);
  const codes = (scaled: Tensor): Tensor => minimum(maximum(round(scaled), least), most);
  const own = inScales(groups);
  if (!scheme.affine) return { numbers: withoutSign(codes(own)), scale, zero: undefined, scaled: own };
  const zero = given?.zero ? reshape(given.zero, column) : codes(inScales(neg(low)));
  const scaled = add(own, zero);
  return { numbers: sub(codes(scaled), zero), scale, zero, scaled };
}

export function codesOf({ bits, affine }: IntegerScheme): readonly [least: number, most: number] {
  return affine ? [0, 2 ** bits - 1] : [1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1];
}

/** An integer code has no zero below zero. */
const withoutSign = (numbers: Tensor): Tensor => cast(cast(numbers, "i32"), "f32");

/** Scales as the scheme stores them; NaN where it cannot. */
function stored(scale: Tensor, { group }: IntegerScheme): Tensor {
  if (typeof group !== "number") return add(scale, mul(scale, 0));
  // f16: 13 bits of the mantissa are rounded away, ties to even; below 2^-14 it counts steps of 2^-24.
  const bits = bitcast(scale, "u32");
  const odd = and(shiftRight(bits, 13), 1);
  const normal = bitcast(shiftLeft(shiftRight(add(add(bits, odd), 0xfff), 13), 13), "f32");
  const small = mul(round(mul(scale, 2 ** 24)), 2 ** -24);
  const rounded = select(less(scale, 2 ** -14), small, normal);
  return select(less(rounded, 65536), rounded, fill(scale.backend, [], NaN));
}

/** [groups, size]; where a row ends in a short group, zeros make it whole. */
function grouped(x: Tensor, { group }: IntegerScheme): Tensor {
  const { rows, width } = rowsOf(x.shape);
  if (group === "tensor") return reshape(x, [1, x.size]);
  const size = group === "row" ? width : group;
  const perRow = width === 0 ? 0 : Math.ceil(width / size);
  const flat = reshape(x, [rows, width]);
  if (perRow * size === width) return reshape(flat, [rows * perRow, size]);
  const wide = zeros(x.backend, [rows, perRow * size]);
  writeSlice(flat, wide, [0, 0]);
  return reshape(wide, [rows * perRow, size]);
}

/** The inverse of {@link grouped}. */
function ungrouped(groups: Tensor, shape: Shape, { group }: IntegerScheme): Tensor {
  const { rows, width } = rowsOf(shape);
  const wide = rows === 0 || group === "tensor" ? width : groups.size / rows;
  if (wide === width) return reshape(groups, shape);
  return reshape(slice(reshape(groups, [rows, wide]), [0, 0], [rows, width]), shape);
}
