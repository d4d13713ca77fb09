// Functions of two numbers, along runs of n. A step is the bytes from one vector of an operand to the next: 16, or 0 where the operand is
// one number, which then lies there four times.
import * as codes from "../codes";
import { storePart } from "./move";

export function binaryRun(what: u32, type: u32, y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  switch (what) {
    case codes.ADD:
      if (type == codes.F32) addRun<f32>(y, a, aStep, b, bStep, n);
      else addRun<i32>(y, a, aStep, b, bStep, n);
      return;
    case codes.SUB:
      if (type == codes.F32) subRun<f32>(y, a, aStep, b, bStep, n);
      else subRun<i32>(y, a, aStep, b, bStep, n);
      return;
    case codes.MUL:
      if (type == codes.F32) mulRun<f32>(y, a, aStep, b, bStep, n);
      else mulRun<i32>(y, a, aStep, b, bStep, n);
      return;
    case codes.DIV:
      if (type == codes.F32) divRun(y, a, aStep, b, bStep, n);
      else if (type == codes.I32) quotientRun<i32>(y, a, aStep, b, bStep, n);
      else quotientRun<u32>(y, a, aStep, b, bStep, n);
      return;
    case codes.MIN:
      if (type == codes.F32) minRun<f32>(y, a, aStep, b, bStep, n);
      else if (type == codes.I32) minRun<i32>(y, a, aStep, b, bStep, n);
      else minRun<u32>(y, a, aStep, b, bStep, n);
      return;
    case codes.MAX:
      if (type == codes.F32) maxRun<f32>(y, a, aStep, b, bStep, n);
      else if (type == codes.I32) maxRun<i32>(y, a, aStep, b, bStep, n);
      else maxRun<u32>(y, a, aStep, b, bStep, n);
      return;
    case codes.EQUAL:
      if (type == codes.F32) equalRun<f32>(y, a, aStep, b, bStep, n);
      else equalRun<i32>(y, a, aStep, b, bStep, n);
      return;
    case codes.LESS:
      if (type == codes.F32) lessRun<f32>(y, a, aStep, b, bStep, n);
      else if (type == codes.I32) lessRun<i32>(y, a, aStep, b, bStep, n);
      else lessRun<u32>(y, a, aStep, b, bStep, n);
      return;
    case codes.AND:
      return andRun(y, a, aStep, b, bStep, n);
    case codes.OR:
      return orRun(y, a, aStep, b, bStep, n);
    case codes.XOR:
      return xorRun(y, a, aStep, b, bStep, n);
    case codes.SHIFT_LEFT:
      return shiftLeftRun(y, a, aStep, b, bStep, n);
    case codes.SHIFT_RIGHT:
      if (type == codes.I32) shiftRightRun<i32>(y, a, aStep, b, bStep, n);
      else shiftRightRun<u32>(y, a, aStep, b, bStep, n);
  }
}

export function addRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.add<T>(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.add<T>(v128.load(a), v128.load(b)), n & 3);
}

function subRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.sub<T>(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.sub<T>(v128.load(a), v128.load(b)), n & 3);
}

function mulRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.mul<T>(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.mul<T>(v128.load(a), v128.load(b)), n & 3);
}

function divRun(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, f32x4.div(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, f32x4.div(v128.load(a), v128.load(b)), n & 3);
}

function minRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.min<T>(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.min<T>(v128.load(a), v128.load(b)), n & 3);
}

function maxRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.max<T>(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.max<T>(v128.load(a), v128.load(b)), n & 3);
}

function equalRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.and(v128.eq<T>(v128.load(a), v128.load(b)), i32x4.splat(1)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.and(v128.eq<T>(v128.load(a), v128.load(b)), i32x4.splat(1)), n & 3);
}

function lessRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.and(v128.lt<T>(v128.load(a), v128.load(b)), i32x4.splat(1)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.and(v128.lt<T>(v128.load(a), v128.load(b)), i32x4.splat(1)), n & 3);
}

function andRun(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.and(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.and(v128.load(a), v128.load(b)), n & 3);
}

function orRun(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.or(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.or(v128.load(a), v128.load(b)), n & 3);
}

function xorRun(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  for (let quads = n >> 2; quads != 0; quads--) {
    v128.store(y, v128.xor(v128.load(a), v128.load(b)));
    y += 16;
    a += aStep;
    b += bStep;
  }
  storePart(y, v128.xor(v128.load(a), v128.load(b)), n & 3);
}

/** Integers: towards 0; by 0 gives 0, and the least one by -1 itself, where the instruction would trap. */
function quotientRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  aStep >>= 2;
  bStep >>= 2;
  for (; n != 0; n--) {
    const p = load<T>(a), q = load<T>(b);
    let quotient: T = 0 as T;
    if (isSigned<T>() && q == -1) quotient = (0 - p) as T;
    else if (q != 0) quotient = (p / q) as T;
    store<T>(y, quotient);
    y += 4;
    a += aStep;
    b += bStep;
  }
}

/** Shifts count modulo 32, as the instructions do; only one that all lanes share can be a vector's. */
function shiftLeftRun(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  if (bStep == 0) {
    const by = load<i32>(b);
    for (let quads = n >> 2; quads != 0; quads--) {
      v128.store(y, i32x4.shl(v128.load(a), by));
      y += 16;
      a += aStep;
    }
    storePart(y, i32x4.shl(v128.load(a), by), n & 3);
    return;
  }
  aStep >>= 2;
  for (; n != 0; n--) {
    store<u32>(y, load<u32>(a) << load<u32>(b));
    y += 4;
    a += aStep;
    b += 4;
  }
}

function shiftRightRun<T>(y: usize, a: usize, aStep: usize, b: usize, bStep: usize, n: u32): void {
  if (bStep == 0) {
    const by = load<i32>(b);
    for (let quads = n >> 2; quads != 0; quads--) {
      v128.store(y, v128.shr<T>(v128.load(a), by));
      y += 16;
      a += aStep;
    }
    storePart(y, v128.shr<T>(v128.load(a), by), n & 3);
    return;
  }
  aStep >>= 2;
  for (; n != 0; n--) {
    store<T>(y, (load<T>(a) >> load<T>(b)) as T);
    y += 4;
    a += aStep;
    b += 4;
  }
}
