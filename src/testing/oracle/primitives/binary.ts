// One function of two numbers with broadcasting. A decision (equal, less) that lies within the bounds is marked as off by up to 1.
import type { BinaryOp, Kernel } from "../../../backends/backend.js";
import { sizeOf } from "../../../core/shape.js";
import { blank, broadcastStrides, load, positions, store } from "../cells.js";
import type { Profile } from "../profile.js";
import { rounded, settled, underflow, unlimited } from "../rounding.js";

export const binary =
  (profile: Profile): Kernel<"binary", void> =>
  ([a, b], [y], { op }) => {
    const left = load(a, profile);
    const right = load(b, profile);
    const atA = positions(y.shape, broadcastStrides(a.shape, y.shape));
    const atB = positions(y.shape, broadcastStrides(b.shape, y.shape));
    const out = blank(sizeOf(y.shape));
    const float = a.dtype === "f32";
    for (let i = 0; i < out.value.length; i++) {
      const [p, q] = [left.value[atA[i]], right.value[atB[i]]];
      const [dp, dq] = [left.bound[atA[i]], right.bound[atB[i]]];
      if (op === "equal" || op === "less") {
        out.value[i] = (op === "equal" ? p === q : p < q) ? 1 : 0;
        out.bound[i] = decided(op, p, dp, q, dq) ? 0 : 1;
      } else if (op === "min" || op === "max") {
        out.value[i] = Math[op](p, q);
        out.bound[i] = extremeSpread(op, p, dp, q, dq, out.value[i]);
      } else if (float) {
        out.value[i] = ofFloats(op, p, q);
        out.bound[i] = floatBound(profile, op, p, dp, q, dq, out.value[i]);
      } else {
        out.value[i] = ofIntegers(op, p, q, a.dtype === "i32");
        out.bound[i] = integerBound(op, p, dp, q, dq);
      }
    }
    store(y, out);
  };

function ofFloats(op: BinaryOp, a: number, b: number): number {
  if (op === "add") return a + b;
  if (op === "sub") return a - b;
  return op === "mul" ? a * b : a / b;
}

function floatBound(profile: Profile, op: BinaryOp, a: number, da: number, b: number, db: number, y: number): number {
  if (!Number.isFinite(y)) return unlimited(profile, da === 0 && db === 0);
  if (op === "add" || op === "sub") return rounded(profile, y, da + db);
  if (op === "mul") return rounded(profile, y, times(Math.abs(a), db) + times(Math.abs(b), da) + times(da, db));
  if (Math.abs(b) <= db) return Infinity;
  const spread = (da + Math.abs(y) * db) / (Math.abs(b) - db);
  if (y === 0 && spread === 0) return 0;
  const own = profile.division(Math.abs(y) + spread, Math.abs(b));
  return settled(y, spread + own + underflow(profile, y, spread));
}

/** How far a factor a carries a bound b; 0 times anything at all may be anything at all, since that may be infinite. */
const times = (a: number, b: number): number => (b === Infinity ? Infinity : a * b);

function decided(op: "equal" | "less", a: number, da: number, b: number, db: number): boolean {
  if (da === 0 && db === 0) return true;
  // Numbers that are no numbers, or may be any, decide nothing.
  const apart = Math.abs(a - b) > da + db;
  return apart || (op === "less" && a - b === da + db);
}

/** How far the extreme of two intervals reaches on either side of the extreme of their middles. */
function extremeSpread(op: "min" | "max", a: number, da: number, b: number, db: number, y: number): number {
  if (da === 0 && db === 0) return 0;
  const pick = Math[op];
  const spread = Math.max(pick(a + da, b + db) - y, y - pick(a - da, b - db));
  return Number.isNaN(spread) ? Infinity : spread;
}

function ofIntegers(op: BinaryOp, a: number, b: number, signed: boolean): number {
  switch (op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return Math.imul(a, b);
    case "div":
      return b === 0 ? 0 : Math.trunc(a / b);
    case "and":
      return a & b;
    case "or":
      return a | b;
    case "xor":
      return a ^ b;
    case "shiftLeft":
      return a << b;
    default:
      return signed ? a >> b : a >>> b;
  }
}

function integerBound(op: BinaryOp, a: number, da: number, b: number, db: number): number {
  if (da === 0 && db === 0) return 0;
  if (op === "add" || op === "sub") return da + db;
  const zero = (a === 0 && da === 0) || (b === 0 && db === 0);
  return zero && (op === "and" || op === "mul") ? 0 : Infinity;
}
