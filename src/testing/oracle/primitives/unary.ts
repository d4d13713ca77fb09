// One function of one number. A bound goes through a monotone function as the images of the interval's ends.
import type { Kernel, UnaryOp } from "../../../backends/backend.js";
import { blank, load, store } from "../cells.js";
import type { Profile, RoundedFunction } from "../profile.js";
import { settled, underflow, unlimited } from "../rounding.js";

const functions: Readonly<Record<UnaryOp, (x: number) => number>> = {
  neg: (x) => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sin: Math.sin,
  cos: Math.cos,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  sigmoid: (x) => (x < 0 ? Math.exp(x) / (1 + Math.exp(x)) : 1 / (1 + Math.exp(-x))),
  tanh: Math.tanh,
  round: roundHalfToEven,
};

export const unary =
  (profile: Profile): Kernel<"unary", void> =>
  ([x], [y], { op }) => {
    const given = load(x, profile);
    const out = blank(given.value.length);
    const apply = functions[op];
    for (let i = 0; i < out.value.length; i++) {
      const [number, spread] = [given.value[i], given.bound[i]];
      const result = apply(number);
      out.value[i] = result;
      if (op === "neg" || op === "abs" || x.dtype !== "f32") out.bound[i] = spread;
      else if (!Number.isFinite(result) || !Number.isFinite(spread)) out.bound[i] = unlimited(profile, spread === 0);
      else if (op === "round") out.bound[i] = spread === 0 ? 0 : widest(apply, number, spread, result);
      else out.bound[i] = errorOf(profile, op, number, spread, result);
    }
    store(y, out);
  };

function errorOf(profile: Profile, op: RoundedFunction, x: number, spread: number, y: number): number {
  let moved = 0;
  if (spread > 0) {
    moved = op === "sin" || op === "cos" ? Math.min(spread, 2) : widest(functions[op], x, spread, y);
    if (!Number.isFinite(moved)) return Infinity; // an end of the interval lies outside the domain, or overflows
  }
  const most = Math.abs(y) + moved;
  if (spread === 0 && op === "sqrt" && y === 0) return 0;
  const own = profile.functions[op](x + (x < 0 ? -spread : spread), most);
  return settled(y, moved + own + underflow(profile, y, moved));
}

/** How far a monotone function moves over [x - spread, x + spread]. */
function widest(apply: (x: number) => number, x: number, spread: number, y: number): number {
  return Math.max(Math.abs(apply(x + spread) - y), Math.abs(apply(x - spread) - y));
}

/** Adding 1.5 * 2^52 makes f64 arithmetic round to an integer, ties to even. */
function roundHalfToEven(x: number): number {
  return Math.abs(x) >= 2 ** 23 ? x : x + 6755399441055744 - 6755399441055744;
}
