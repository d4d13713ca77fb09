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
export function swigluRow(gate: usize, up: usize, y: usize, n: u32): void {
  for (let i = n >> 3; i != 0; i--) {
    const a = silu(v128.load(gate)), b = silu(v128.load(gate, 16));
    v128.store(y, f32x4.mul(a, v128.load(up)));
    v128.store(y, f32x4.mul(b, v128.load(up, 16)), 16);
    gate += 32;
    up += 32;
    y += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    storeLanes(y, f32x4.mul(silu(v128.load(gate)), v128.load(up)), left);
    gate += 16;
    up += 16;
    y += 16;
  }
}

/** x sigmoid(x) */
export function silu(x: v128): v128 {
  return f32x4.mul(x, sigmoid4(x));
}

/** Words: rows, rows per tile, width, gateUp, dy, dGateUp. */
export function swigluGradTile(command: usize, tile: u32): void {
  const bytes = (word(command, 2) as usize) << 2;
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const dy = (word(command, 4) as usize) + row * bytes;
    gradRow((word(command, 3) as usize) + row * 2 * bytes, dy, (word(command, 5) as usize) + row * 2 * bytes, word(command, 2));
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
