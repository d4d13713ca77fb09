// The gradients of the primitives, in one table. Fused ops carry theirs in their own files, or none and are replayed out of these.
import type { BinaryOp, OpName, PrimitiveOps, UnaryOp } from "../backends/backend.js";
import { rowsOf } from "../core/shape.js";
import { add, div, equal, less, mul, sub } from "../ops/binary.js";
import { cast } from "../ops/cast.js";
import { arange, fill, zeros } from "../ops/fill.js";
import { matmul } from "../ops/matmul.js";
import { permute } from "../ops/permute.js";
import { sum, sumTo } from "../ops/reduce.js";
import { reshape } from "../ops/reshape.js";
import { scan } from "../ops/scan.js";
import { scatterRows } from "../ops/scatter-rows.js";
import { select } from "../ops/select.js";
import { padded } from "../ops/slice.js";
import { cos, neg, sin } from "../ops/unary.js";
import type { OpDef } from "../tensor/op.js";
import type { Tensor } from "../tensor/tensor.js";

type Rule<K extends OpName> = NonNullable<OpDef<K>["vjp"]>;

/** A primitive that is not listed carries no gradient: its outputs are indices, codes, or constants. */
export const primitiveGradients: { readonly [K in keyof PrimitiveOps]?: Rule<K> } = {
  cast: (_, __, [dy]) => [dy],

  permute: (_, __, [dy], { axes }) => [
    dy &&
      permute(
        dy,
        axes.map((_, axis) => axes.indexOf(axis)),
      ),
  ],

  slice: ([x], _, [dy], { starts }) => [dy && padded(dy, x, starts)],

  gatherRows([table, rows], _, [dy], __, [wantsTable]) {
    if (!dy || !wantsTable) return [undefined, undefined];
    const dTable = zeros(table.backend, table.shape);
    scatterRows(reshape(dy, [rows.size, ...table.shape.slice(1)]), reshape(rows, [rows.size]), dTable, "add");
    return [dTable, undefined];
  },

  unary: ([x], [y], [dy], { op }) => [dy && unaryGradient(op, x, y, dy)],

  binary([a, b], [y], [dy], { op }, [wantsA, wantsB]) {
    const [da, db] = dy ? binaryGradients(op, a, b, y, dy) : [];
    return [wantsA && da ? sumTo(da(), a.shape) : undefined, wantsB && db ? sumTo(db(), b.shape) : undefined];
  },

  select([condition, a, b], _, [dy], __, [, wantsA, wantsB]) {
    if (!dy) return [undefined, undefined, undefined];
    return [
      undefined,
      wantsA ? sumTo(where(condition, dy, true), a.shape) : undefined,
      wantsB ? sumTo(where(condition, dy, false), b.shape) : undefined,
    ];
  },

  // Equal extremes share the gradient, as torch's amax does.
  reduce([x], [y], [dy], { op, axes }) {
    if (!dy) return [undefined];
    if (op === "sum") return [add(zeros(x.backend, x.shape), dy)];
    const hit = cast(equal(x, y), "f32");
    return [mul(div(hit, sum(hit, axes)), dy)];
  },

  // What comes after an element is the total less what comes up to it.
  scan: (_, __, [dy], { axis, exclusive }) => [dy && sub(sum(dy, [axis]), scan(dy, axis, { exclusive: !exclusive }))],

  // Each value goes back to the place it came from.
  topK([x], [, indices], [dy], { k }) {
    if (!dy) return [undefined];
    const { rows, width } = rowsOf(x.shape);
    const flat = zeros(x.backend, [rows * width]);
    const starts = mul(reshape(arange(x.backend, rows), [rows, 1]), width);
    scatterRows(reshape(dy, [rows * k]), reshape(add(reshape(indices, [rows, k]), starts), [rows * k]), flat, "add");
    return [reshape(flat, x.shape)];
  },

  matmul([a, b], _, [dy], { transposeA, transposeB }, [wantsA, wantsB]) {
    if (!dy) return [undefined, undefined];
    const da = (): Tensor =>
      transposeA
        ? matmul(b, dy, { transposeA: transposeB, transposeB: true })
        : matmul(dy, b, { transposeB: !transposeB });
    const db = (): Tensor =>
      transposeB
        ? matmul(dy, a, { transposeA: true, transposeB: transposeA })
        : matmul(a, dy, { transposeA: !transposeA });
    return [wantsA ? da() : undefined, wantsB ? db() : undefined];
  },
};

function unaryGradient(op: UnaryOp, x: Tensor, y: Tensor, dy: Tensor): Tensor | undefined {
  switch (op) {
    case "neg":
      return neg(dy);
    case "abs":
      return mul(dy, sub(cast(less(zero(x), x), "f32"), cast(less(x, 0), "f32")));
    case "exp":
      return mul(dy, y);
    case "log":
      return div(dy, x);
    case "sin":
      return mul(dy, cos(x));
    case "cos":
      return neg(mul(dy, sin(x)));
    case "sqrt":
      return div(mul(dy, 0.5), y);
    case "rsqrt":
      return mul(mul(dy, -0.5), mul(y, mul(y, y)));
    case "sigmoid":
      return mul(dy, mul(y, sub(fill(y.backend, [], 1), y)));
    case "tanh":
      return mul(dy, sub(fill(y.backend, [], 1), mul(y, y)));
    case "round":
      return undefined;
  }
}

/** The gradients of both operands before a broadcast is summed away, each made only when asked for. */
function binaryGradients(
  op: BinaryOp,
  a: Tensor,
  b: Tensor,
  y: Tensor,
  dy: Tensor,
): readonly [(() => Tensor)?, (() => Tensor)?] {
  switch (op) {
    case "add":
      return [() => dy, () => dy];
    case "sub":
      return [() => dy, () => neg(dy)];
    case "mul":
      return [() => mul(dy, b), () => mul(dy, a)];
    case "div":
      return [() => div(dy, b), () => neg(div(mul(dy, y), b))];
    // Of equal operands the first one counts as chosen.
    case "min":
      return [() => where(less(b, a), dy, false), () => where(less(b, a), dy, true)];
    case "max":
      return [() => where(less(a, b), dy, false), () => where(less(a, b), dy, true)];
    default:
      return [];
  }
}

const zero = (like: Tensor): Tensor => fill(like.backend, [], 0);

/** dy where the condition is `holds`, 0 elsewhere. */
function where(condition: Tensor, dy: Tensor, holds: boolean): Tensor {
  return holds ? select(condition, dy, zero(dy)) : select(condition, zero(dy), dy);
}
