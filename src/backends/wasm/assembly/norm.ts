// RMSNorm, alone and with the residual sum before it, and its gradient.
import { number, word } from "./command";
import { storeLanes } from "./dot";
import { endOf, firstLanes, firstOf, squaresOfRow } from "./rows";
import { madd, sumLanes } from "./simd";

/** 1 / sqrt(mean + eps) for a mean of squares. */
function inverseRms(squares: f32, width: u32, eps: f64): f64 {
  return 1 / sqrt(f64(squares) / f64(width) + eps);
}

/** Words: rows, rows per tile, width, x, weight, y; number: eps. */
export function rmsNormTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const x = word(command, 3) as usize, y = word(command, 5) as usize;
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = (row * width) << 2;
    const scale = inverseRms(squaresOfRow(x + at, width), width, number(command, 0));
    scaleRow(x + at, word(command, 4), y + at, width, f32(scale));
  }
}

/** Words: rows, rows per tile, width, x, residual, weight, sum, y; number: eps. */
export function addRmsNormTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const x = word(command, 3) as usize, residual = word(command, 4) as usize;
  const sum = word(command, 6) as usize, y = word(command, 7) as usize;
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = (row * width) << 2;
    const squares = addRows(x + at, residual + at, sum + at, width);
    scaleRow(sum + at, word(command, 5), y + at, width, f32(inverseRms(squares, width, number(command, 0))));
  }
}

/** y = x * scale * weight */
function scaleRow(x: usize, weight: usize, y: usize, n: u32, scale: f32): void {
  const factor = f32x4.splat(scale);
  for (let i = n >> 3; i != 0; i--) {
    v128.store(y, f32x4.mul(f32x4.mul(v128.load(x), factor), v128.load(weight)));
    v128.store(y, f32x4.mul(f32x4.mul(v128.load(x, 16), factor), v128.load(weight, 16)), 16);
    x += 32;
    weight += 32;
    y += 32;
  }
  if (n & 4) {
    v128.store(y, f32x4.mul(f32x4.mul(v128.load(x), factor), v128.load(weight)));
    x += 16;
    weight += 16;
    y += 16;
  }
  if (n & 3) storeLanes(y, f32x4.mul(f32x4.mul(v128.load(x), factor), v128.load(weight)), n & 3);
}

/** sum = a + b; returns the sum of its squares. */
function addRows(a: usize, b: usize, sum: usize, n: u32): f32 {
  let s0 = f32x4.splat(0), s1 = s0;
  for (let i = n >> 3; i != 0; i--) {
    const c = f32x4.add(v128.load(a), v128.load(b)), d = f32x4.add(v128.load(a, 16), v128.load(b, 16));
    v128.store(sum, c);
    v128.store(sum, d, 16);
    s0 = madd(c, c, s0);
    s1 = madd(d, d, s1);
    a += 32;
    b += 32;
    sum += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    const c = v128.and(f32x4.add(v128.load(a), v128.load(b)), firstLanes(left));
    storeLanes(sum, c, left);
    s0 = madd(c, c, s0);
    a += 16;
    b += 16;
    sum += 16;
  }
  return sumLanes(f32x4.add(s0, s1));
}

/**
 * A tile is a part of the rows; its sum of dy x s goes into a line of its own, for {@link sumPartsTile}.
 * Words: rows, rows per tile, width, x, weight, dy, dx or 0, lines [tiles, width] or 0; number: eps.
 */
export function rmsNormGradTile(command: usize, tile: u32): void {
  const width = word(command, 2);
  const x = word(command, 3) as usize, weight = word(command, 4) as usize, dy = word(command, 5) as usize;
  const dx = word(command, 6) as usize;
  const bytes = (width as usize) << 2;
  const line = word(command, 7) == 0 ? 0 : (word(command, 7) as usize) + tile * bytes;
  if (line != 0) memory.fill(line, 0, bytes);
  const end = endOf(command, tile);
  for (let row = firstOf(command, tile); row < end; row++) {
    const at = row * bytes;
    const s = inverseRms(squaresOfRow(x + at, width), width, number(command, 0));
    if (dx != 0) {
      const pull = f64(productsOfRow(x + at, weight, dy + at, width)) / f64(width) * s * s * s;
      turnRow(x + at, weight, dy + at, dx + at, width, f32(s), f32(pull));
    }
    if (line != 0) addProducts(x + at, dy + at, line, width, f32(s));
  }
}

/** The sum of x weight dy. */
function productsOfRow(x: usize, weight: usize, dy: usize, n: u32): f32 {
  let s0 = f32x4.splat(0), s1 = s0;
  for (let i = n >> 3; i != 0; i--) {
    s0 = madd(f32x4.mul(v128.load(weight), v128.load(dy)), v128.load(x), s0);
    s1 = madd(f32x4.mul(v128.load(weight, 16), v128.load(dy, 16)), v128.load(x, 16), s1);
    x += 32;
    weight += 32;
    dy += 32;
  }
  for (let left = n & 7; left != 0; left -= min(left, 4)) {
    const product = f32x4.mul(f32x4.mul(v128.load(weight), v128.load(dy)), v128.load(x));
    s0 = f32x4.add(s0, v128.and(product, firstLanes(left)));
    x += 16;
    weight += 16;
    dy += 16;
  }
  return sumLanes(f32x4.add(s0, s1));
}

/** dx = weight dy s - x pull */
function turnRow(x: usize, weight: usize, dy: usize, dx: usize, left: u32, s: f32, pull: f32): void {
  const factor = f32x4.splat(s), back = f32x4.splat(-pull);
  while (left != 0) {
    const d = madd(v128.load(x), back, f32x4.mul(f32x4.mul(v128.load(weight), v128.load(dy)), factor));
    if (left < 4) {
      storeLanes(dx, d, left);
      break;
    }
    v128.store(dx, d);
    x += 16;
    weight += 16;
    dy += 16;
    dx += 16;
    left -= 4;
  }
}

/** line += dy x s */
function addProducts(x: usize, dy: usize, line: usize, left: u32, s: f32): void {
  const factor = f32x4.splat(s);
  while (left != 0) {
    const sum = madd(v128.load(dy), f32x4.mul(v128.load(x), factor), v128.load(line));
    if (left < 4) {
      storeLanes(line, sum, left);
      break;
    }
    v128.store(line, sum);
    x += 16;
    dy += 16;
    line += 16;
    left -= 4;
  }
}

/** The sum of all lines, in their order. Words: columns, columns per tile (a multiple of 4), lines [count, columns], count, y. */
export function sumPartsTile(command: usize, tile: u32): void {
  const count = word(command, 3);
  const bytes = (word(command, 0) as usize) << 2;
  const end = endOf(command, tile);
  for (let column = firstOf(command, tile); column < end; column += 4) {
    let line = (word(command, 2) as usize) + (column << 2);
    let sum = f32x4.splat(0);
    for (let i: u32 = 0; i < count; i++) {
      sum = f32x4.add(sum, v128.load(line));
      line += bytes;
    }
    storeLanes((word(command, 4) as usize) + (column << 2), sum, end - column);
  }
}
