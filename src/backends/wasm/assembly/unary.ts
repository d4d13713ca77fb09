// One function of one number, elementwise.
import * as codes from "../codes";
import { word } from "./command";
import { storeLanes } from "./dot";
import { cosOf, exp4, logOf, sigmoid4, sinOf, tanh4 } from "./math";
import { endOf, firstOf } from "./rows";

/** Words: elements, elements per tile, x, y, function. */
export function unaryTile(command: usize, tile: u32): void {
  const first = firstOf(command, tile);
  let left = endOf(command, tile) - first;
  let from = (word(command, 2) as usize) + (first << 2);
  let to = (word(command, 3) as usize) + (first << 2);
  const op = word(command, 4);
  while (left != 0) {
    const y = applied(op, v128.load(from));
    if (left < 4) {
      storeLanes(to, y, left);
      break;
    }
    v128.store(to, y);
    from += 16;
    to += 16;
    left -= 4;
  }
}

/** The function of four numbers: a jump that goes the same way each time costs little beside it. */
function applied(op: u32, x: v128): v128 {
  switch (op) {
    case codes.NEG:
      return f32x4.neg(x);
    case codes.ABS:
      return f32x4.abs(x);
    case codes.EXP:
      return exp4(x);
    case codes.SQRT:
      return f32x4.sqrt(x);
    case codes.RSQRT:
      return f32x4.div(f32x4.splat(1), f32x4.sqrt(x));
    case codes.SIGMOID:
      return sigmoid4(x);
    case codes.TANH:
      return tanh4(x);
    case codes.ROUND:
      return f32x4.nearest(x);
    case codes.NEG_INTEGER:
      return i32x4.neg(x);
    case codes.ABS_INTEGER:
      return i32x4.abs(x);
    default:
      return f32x4(
        wide(op, f32x4.extract_lane(x, 0)),
        wide(op, f32x4.extract_lane(x, 1)),
        wide(op, f32x4.extract_lane(x, 2)),
        wide(op, f32x4.extract_lane(x, 3)),
      );
  }
}

/** Functions that go through f64. */
function wide(op: u32, x: f32): f32 {
  return op == codes.LOG ? logOf(x) : op == codes.SIN ? sinOf(x) : cosOf(x);
}
