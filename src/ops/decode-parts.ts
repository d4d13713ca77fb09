// Decoding any scheme on any device, out of integer ops, bitcasts and gathers: what `dequantize` and `gatherRows` do for schemes that a
// backend's kernels do not know. The formula is that of quant/schemes/scheme.ts, in the same order of rounding.
import type { Backend } from "../backends/backend.js";
import { rowsOf, type Shape } from "../core/shape.js";
import { groupWidth, partSpecs, type Part, type Scheme } from "../quant/schemes/scheme.js";
import type { PackedTensor } from "../tensor/packed-tensor.js";
import { scope } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import { add, and, div, equal, less, mul, or, shiftLeft, shiftRight, sub } from "./binary.js";
import { bitcast, cast } from "./cast.js";
import { concat } from "./concat.js";
import { arange, fill } from "./fill.js";
import { reshape } from "./reshape.js";
import { select } from "./select.js";

/** `gatherRows` of a plain table. */
type Gather = (table: Tensor, rows: Tensor) => Tensor;

/** Decodes the rows (all axes but the last taken together) that `rows` names, i32 [n]; others than existing ones give zeros. [n, width] */
export function decodeParts(x: PackedTensor, rows: Tensor, gather: Gather): Tensor {
  const { rows: count, width } = rowsOf(x.shape);
  const { backend, scheme } = x;
  return scope(() => {
    const row = reshape(rows, [rows.size, 1]);
    const element = reshape(arange(backend, width), [1, width]);
    const product = (role: Part["role"]): Tensor | undefined =>
      scheme.parts
        .map((part, i) =>
          part.role === role ? numbersOf(scheme, i, x.parts[i], x.shape, row, element, gather) : undefined,
        )
        .filter((numbers) => numbers !== undefined)
        .reduce<Tensor | undefined>((all, numbers) => (all ? mul(all, numbers) : numbers), undefined);
    let y = product("code") as Tensor;
    const [zero, scale, offset] = [product("zero"), product("scale"), product("offset")];
    if (zero) y = sub(y, zero);
    if (scale) y = mul(y, scale);
    if (offset) y = add(y, offset);
    const exists = and(less(row, count), equal(less(row, 0), 0));
    return select(exists, y, fill(backend, [], 0));
  });
}

/** What each element takes from one part: f32 [n, width]. */
function numbersOf(
  scheme: Scheme,
  index: number,
  words: Tensor,
  shape: Shape,
  row: Tensor,
  element: Tensor,
  gather: Gather,
): Tensor {
  const part = scheme.parts[index];
  const wordsPerRow = partSpecs(scheme, shape)[index].shape[1];
  const width = groupWidth(scheme, part);
  const group = width === Infinity ? mul(element, 0) : div(element, width);
  const start = mul(partRow(scheme, part, shape, row), wordsPerRow);
  const flat = reshape(words, [words.size]);
  if (part.as === "f32") return gather(flat, add(start, group));
  const bit = mul(group, part.bits);
  const at = add(start, shiftRight(bit, 5));
  const shift = bitcast(and(bit, 31), "u32");
  let code = shiftRight(gather(flat, at), shift);
  if (32 % part.bits !== 0) {
    // A code may begin in one word and end in the next.
    const next = shiftLeft(gather(flat, add(at, 1)), sub(fill(row.backend, [], 32, { dtype: "u32" }), shift));
    code = or(
      code,
      select(less(sub(fill(row.backend, [], 32, { dtype: "u32" }), shift), part.bits), next, mul(next, 0)),
    );
  }
  return meaning(part, part.bits === 32 ? code : and(code, 2 ** part.bits - 1), gather);
}

/** The part's row that serves a row of the numbers. */
function partRow(scheme: Scheme, part: Part, shape: Shape, row: Tensor): Tensor {
  if (part.per === "tensor") return mul(row, 0);
  if (part.per !== "tile" || !scheme.tile) return row;
  const height = shape.length < 2 ? 1 : shape[shape.length - 2];
  const matrix = div(row, height);
  const inside = div(sub(row, mul(matrix, height)), scheme.tile[0]);
  return add(mul(matrix, Math.ceil(height / scheme.tile[0])), inside);
}

/** The number that a u32 code stands for. */
function meaning({ as, bits }: Part, code: Tensor, gather: Gather): Tensor {
  const { backend } = code;
  if (as === "uint") return cast(code, "f32");
  if (as === "int") return cast(shiftRight(bitcast(shiftLeft(code, 32 - bits), "i32"), 32 - bits), "f32");
  if (as === "bf16") return bitcast(shiftLeft(code, 16), "f32");
  if (as === "f16") return small(code, { exponent: 5, mantissa: 10, infinities: true });
  if (as === "e4m3") return small(code, { exponent: 4, mantissa: 3, infinities: false });
  if (as === "e5m2") return small(code, { exponent: 5, mantissa: 2, infinities: true });
  if (as === "e8m0") {
    const power = select(equal(code, 0), u32(backend, 0x00400000), shiftLeft(code, 23));
    return bitcast(select(equal(code, 255), u32(backend, 0x7fc00000), power), "f32");
  }
  if (as === "f32") return bitcast(code, "f32");
  return gather(
    concat(
      as.map((value) => fill(backend, [1], value)),
      0,
    ),
    bitcast(code, "i32"),
  );
}

const u32 = (backend: Backend, value: number): Tensor => fill(backend, [], value, { dtype: "u32" });

/** A float of few bits, sign first; subnormals go through an integer, since devices may flush those of f32. */
function small(
  code: Tensor,
  form: { readonly exponent: number; readonly mantissa: number; readonly infinities: boolean },
): Tensor {
  const { exponent, mantissa, infinities } = form;
  const { backend } = code;
  const magnitude = and(code, 2 ** (exponent + mantissa) - 1);
  const bias = 2 ** (exponent - 1) - 1;
  const normal = add(shiftLeft(magnitude, 23 - mantissa), (127 - bias) * 2 ** 23);
  const subnormal = bitcast(mul(cast(magnitude, "f32"), 2 ** (1 - bias - mantissa)), "u32");
  let bits = select(less(magnitude, 2 ** mantissa), subnormal, normal);
  if (infinities) {
    const top = equal(shiftRight(magnitude, mantissa), 2 ** exponent - 1);
    bits = select(top, or(shiftLeft(magnitude, 23 - mantissa), 0x7f800000), bits);
  } else {
    bits = select(equal(magnitude, 2 ** (exponent + mantissa) - 1), u32(backend, 0x7fc00000), bits);
  }
  return bitcast(or(bits, shiftLeft(shiftRight(code, exponent + mantissa), 31)), "f32");
}
