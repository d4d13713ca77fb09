// Elementwise work over operands that advance by strides of their own: one walk for all of it, which hands over runs along the last axis.
import * as codes from "../codes";
import { binaryRun } from "./binary";
import { castRun } from "./cast";
import { list, word } from "./command";
import { copyApart, copyWords, storePart } from "./move";

const LOOPS: usize = 17;

/**
 * Words: what is done, type of a, type of y; elements, and elements per tile; addresses of y and of the operands a, b, c; bytes between
 * neighbours on the innermost axis, of the same four; its extent; scratch of the threads and bytes of it per thread; number of the other
 * axes, at least one, then for each from the innermost: extent, and bytes between neighbours of the four.
 */
export function stridedTile(command: usize, tile: u32, thread: u32): void {
  const perTile = word(command, 4);
  const inner = word(command, 13), loops = word(command, 16);
  const scratch = (word(command, 14) as usize) + thread * word(command, 15);
  const middle = list(command, LOOPS);
  const turns = load<u32>(middle);
  const yStep = word(command, 9) as usize, aStep = word(command, 10) as usize;
  const bStep = word(command, 11) as usize, cStep = word(command, 12) as usize;
  let element = tile * perTile;
  const last = min(word(command, 3), element + perTile);
  while (element < last) {
    let rest = element / inner;
    let place = element - rest * inner;
    let y = word(command, 5) as usize, a = word(command, 6) as usize, b = word(command, 7) as usize, c = word(command, 8) as usize;
    let turn: u32 = 0;
    for (let i: u32 = 0; i < loops; i++) {
      const axis = list(command, LOOPS + 5 * i);
      const next = rest / load<u32>(axis), at = rest - next * load<u32>(axis);
      y += at * load<u32>(axis, 4);
      a += at * load<u32>(axis, 8);
      b += at * load<u32>(axis, 12);
      c += at * load<u32>(axis, 16);
      rest = next;
      if (i == 0) turn = at;
    }
    for (;;) {
      const n = min(inner - place, last - element);
      run(command, y + place * yStep, a + place * aStep, b + place * bStep, c + place * cStep, n, scratch);
      element += n;
      if (++turn == turns || element == last) break;
      place = 0;
      y += load<u32>(middle, 4);
      a += load<u32>(middle, 8);
      b += load<u32>(middle, 12);
      c += load<u32>(middle, 16);
    }
  }
}

function run(command: usize, y: usize, a: usize, b: usize, c: usize, n: u32, scratch: usize): void {
  const what = word(command, 0);
  const yStep = word(command, 9) as usize, aStep = word(command, 10) as usize;
  if (what == codes.COPY) {
    if (yStep == 4 && aStep == 4) copyWords(y, a, n);
    else copyApart(y, yStep, a, aStep, n);
    return;
  }
  const bStep = word(command, 11) as usize, cStep = word(command, 12) as usize;
  a = quads(a, aStep, scratch);
  b = quads(b, bStep, scratch + 16);
  if (what == codes.SELECT) selectRun(y, a, aStep << 2, b, bStep << 2, quads(c, cStep, scratch + 32), cStep << 2, n);
  else if (what == codes.CAST) castRun(word(command, 1), word(command, 2), y, a, aStep << 2, n);
  else binaryRun(what, word(command, 1), y, a, aStep << 2, b, bStep << 2, n);
}

/** Where vectors of an operand lie: a number that does not advance is written four times. */
function quads(at: usize, step: usize, scratch: usize): usize {
  if (step != 0) return at;
  v128.store(scratch, v128.load32_splat(at));
  return scratch;
}

/** y = a where the condition is not 0, else b. */
function selectRun(y: usize, condition: usize, step: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.bitselect(v128.load(b), v128.load(a), i32x4.eq(v128.load(condition), i32x4.splat(0))));
    y += 16;
    condition += step;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.bitselect(v128.load(b), v128.load(a), i32x4.eq(v128.load(condition), i32x4.splat(0))), n & 3);
}
