// Moves of words, which keep every bit: runs, parts of a vector, and exchanges of two axes.
import { list, word } from "./command";
import { transposeFour } from "./pack";

/** From here on the engine's own copy is faster than a loop. */
const LONG_RUN: u32 = 512;

/** n adjacent words. */
export function copyWords(to: usize, from: usize, n: u32): void {
  if (n >= LONG_RUN) {
    memory.copy(to, from, (n as usize) << 2);
    return;
  }
  for (let blocks = n >> 4; blocks != 0; blocks--) {
    const a = v128.load(from), b = v128.load(from, 16), c = v128.load(from, 32), d = v128.load(from, 48);
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
    to += 64;
    from += 64;
  }
  for (let quads = (n >> 2) & 3; quads != 0; quads--) {
    v128.store(to, v128.load(from));
    to += 16;
    from += 16;
  }
  storePart(to, v128.load(from), n & 3);
}

/** The first `count` words of a vector, 0 to 3. */
export function storePart(to: usize, x: v128, count: u32): void {
  if (count == 1) {
    v128.store32_lane(to, x, 0);
  } else if (count != 0) {
    v128.store64_lane(to, x, 0);
    if (count == 3) v128.store32_lane(to, x, 2, 8);
  }
}

/** n adjacent words become `bits`. */
export function fillWords(to: usize, bits: u32, n: u32): void {
  const x = i32x4.splat(bits);
  for (let blocks = n >> 4; blocks != 0; blocks--) {
    v128.store(to, x);
    v128.store(to, x, 16);
    v128.store(to, x, 32);
    v128.store(to, x, 48);
    to += 64;
  }
  for (let quads = (n >> 2) & 3; quads != 0; quads--) {
    v128.store(to, x);
    to += 16;
  }
  storePart(to, x, n & 3);
}

/** n words that lie `toStep` and `fromStep` bytes apart. */
export function copyApart(to: usize, toStep: usize, from: usize, fromStep: usize, n: u32): void {
  for (let pairs = n >> 1; pairs != 0; pairs--) {
    const a = load<u32>(from), b = load<u32>(from + fromStep);
    store<u32>(to, a);
    store<u32>(to + toStep, b);
    from += 2 * fromStep;
    to += 2 * toStep;
  }
  if (n & 1) store<u32>(to, load<u32>(from));
}

/** Words that a line of x and a line of y have in a block: a cache line. */
const LINE: u32 = 16;

/**
 * y[..., p, ..., q] = x[..., q, ..., p]. Words: x, y; the extents of p and q, bytes of x from q to q + 1 and of y from p to p + 1; extents
 * of a block; blocks, and blocks per tile; number of the other axes, then for each from the innermost: extent, bytes of x and of y between
 * neighbours.
 */
export function transposeTile(command: usize, tile: u32): void {
  const height = word(command, 2), width = word(command, 3);
  const xStep = word(command, 4) as usize, yStep = word(command, 5) as usize;
  const blockHeight = word(command, 6), blockWidth = word(command, 7);
  const blocks = word(command, 8), perTile = word(command, 9), others = word(command, 10);
  const down = (height + blockHeight - 1) / blockHeight, across = (width + blockWidth - 1) / blockWidth;
  const last = min(blocks, (tile + 1) * perTile);
  for (let block = tile * perTile; block < last; block++) {
    let rest = block / across;
    const q = (block - rest * across) * blockWidth;
    const turn = rest / down;
    const p = (rest - turn * down) * blockHeight;
    let x = (word(command, 0) as usize) + q * xStep + (p << 2), y = (word(command, 1) as usize) + p * yStep + (q << 2);
    rest = turn;
    for (let i: u32 = 0; i < others; i++) {
      const axis = list(command, 11 + 3 * i);
      const next = rest / load<u32>(axis), place = rest - next * load<u32>(axis);
      x += place * load<u32>(axis, 4);
      y += place * load<u32>(axis, 8);
      rest = next;
    }
    transposeBlock(x, xStep, y, yStep, min(blockHeight, height - p), min(blockWidth, width - q));
  }
}

function transposeBlock(x: usize, xStep: usize, y: usize, yStep: usize, height: u32, width: u32): void {
  const quads = width & ~3;
  for (let p: u32 = 0; p < height; p += LINE) {
    const count = min(LINE, height - p);
    for (let q: u32 = 0; q < quads; q += 4) transposeFour(x + q * xStep + (p << 2), y + p * yStep + (q << 2), count, xStep, yStep);
    for (let q = quads; q < width; q++) copyApart(y + p * yStep + (q << 2), yStep, x + q * xStep + (p << 2), 4, count);
  }
}
