// SwiGLU and its gradient, for rows that hold gate, then up.
import { word } from "./command";
import { storeLanes } from "./dot";
import { sigmoid4 } from "./math";
import { endOf, firstOf } from "./rows";
import { madd } from "./simd";

/** Words: rows, rows per tile, width, gateUp, y. */
export function swigluTile(command: usize, tile: u32): void {
  const bytes = (word(command, 2) as usize) << 2;
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const gate = (word(command, 3) as usize) + row * 2 * bytes;
    swigluRow(gate, gate + bytes, (word(command, 4) as usize) + row * bytes, word(command, 2));
  }
}

/** y = silu(gate) up */
export function swigluRow(gate: usize, up: usize, y: usize, left: u32): void {
  while (left != 0) {
    const g = v128.load(gate);
    const product = f32x4.mul(f32x4.mul(g, sigmoid4(g)), v128.load(up));
    if (left < 4) {
      storeLanes(y, product, left);
      break;
    }
    v128.store(y, product);
    gate += 16;
    up += 16;
    y += 16;
    left -= 4;
  }
}

/** Words: rows, rows per tile, width, gateUp, dy, dGateUp. */
export function swigluGradTile(command: usize, tile: u32): void {
  const bytes = (word(command, 2) as usize) << 2;
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = row * 2 * bytes;
    gradRow((word(command, 3) as usize) + at, (word(command, 4) as usize) + row * bytes, (word(command, 5) as usize) + at, word(command, 2));
  }
}

/** With s = sigmoid(gate): dGate = dy up s (1 + gate (1 - s)), dUp = dy gate s. */
function gradRow(gate: usize, dy: usize, dGate: usize, n: u32): void {
  const bytes = (n as usize) << 2;
  const one = f32x4.splat(1);
  let left = n;
  while (left != 0) {
    const g = v128.load(gate), d = v128.load(dy), up = v128.load(gate + bytes);
    const s = sigmoid4(g);
    const slope = f32x4.mul(s, madd(g, f32x4.sub(one, s), one));
    const ofGate = f32x4.mul(f32x4.mul(d, up), slope);
    const ofUp = f32x4.mul(d, f32x4.mul(g, s));
    if (left < 4) {
      storeLanes(dGate, ofGate, left);
      storeLanes(dGate + bytes, ofUp, left);
      break;
    }
    v128.store(dGate, ofGate);
    v128.store(dGate + bytes, ofUp);
    gate += 16;
    dy += 16;
    dGate += 16;
    left -= 4;
  }
}
