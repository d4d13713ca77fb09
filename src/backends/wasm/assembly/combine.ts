// Weighted sums over the slots of each row, in their order.
import { word } from "./command";
import { storeLanes } from "./dot";
import { madd } from "./simd";

/**
 * Words: x[rows, slots, width], factors or 0 for 1, y, rows, slots, width, rows per tile; experts or 0, E: slots that name none are
 * passed over.
 */
export function combineTile(command: usize, tile: u32): void {
  const slots = word(command, 4), width = word(command, 5), perTile = word(command, 6);
  const factors = word(command, 1) as usize, experts = word(command, 7) as usize, numExperts = word(command, 8);
  const rowBytes = (width as usize) << 2;
  const last = min(word(command, 3), (tile + 1) * perTile);
  for (let row = tile * perTile; row < last; row++) {
    const first = row * slots;
    const x = (word(command, 0) as usize) + first * rowBytes;
    const y = (word(command, 2) as usize) + row * rowBytes;
    const named = experts == 0 ? 0 : experts + (first << 2), weights = factors == 0 ? 0 : factors + (first << 2);
    let i: u32 = 0;
    for (; i + 16 <= width; i += 16) sumSixteen(x + (i << 2), rowBytes, slots, weights, named, numExperts, y + (i << 2));
    for (; i < width; i += 4) sumFour(x + (i << 2), rowBytes, slots, weights, named, numExperts, y + (i << 2), width - i);
  }
}

function sumSixteen(x: usize, rowBytes: usize, slots: u32, weights: usize, experts: usize, numExperts: u32, y: usize): void {
  let a = f32x4.splat(0), b = a, c = a, d = a;
  for (let j: u32 = 0; j < slots; j++, x += rowBytes) {
    if (experts != 0 && load<u32>(experts + (j << 2)) >= numExperts) continue;
    const weight = f32x4.splat(weights == 0 ? 1 : load<f32>(weights + (j << 2)));
    a = madd(v128.load(x), weight, a);
    b = madd(v128.load(x, 16), weight, b);
    c = madd(v128.load(x, 32), weight, c);
    d = madd(v128.load(x, 48), weight, d);
  }
  v128.store(y, a);
  v128.store(y, b, 16);
  v128.store(y, c, 32);
  v128.store(y, d, 48);
}

function sumFour(x: usize, rowBytes: usize, slots: u32, weights: usize, experts: usize, numExperts: u32, y: usize, count: u32): void {
  let sum = f32x4.splat(0);
  for (let j: u32 = 0; j < slots; j++, x += rowBytes) {
    if (experts != 0 && load<u32>(experts + (j << 2)) >= numExperts) continue;
    sum = madd(v128.load(x), f32x4.splat(weights == 0 ? 1 : load<f32>(weights + (j << 2))), sum);
  }
  storeLanes(y, sum, count);
}
