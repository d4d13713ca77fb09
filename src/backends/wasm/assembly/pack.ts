// Copies of a matrix in the order in which the products read it: panels of 6 rows or 8 columns, along k, filled up with zeros.
import { COLUMNS, ROWS } from "./micro";

/**
 * A panel [k][width] from `width` lines; element (line, i) lies at from + line * lineStride + i * stride, in bytes. Lines beyond `count` are 0.
 */
export function packPanel(
  from: usize,
  to: usize,
  width: u32,
  count: u32,
  k: u32,
  lineStride: usize,
  stride: usize,
): void {
  if (count == width && lineStride == 4) {
    if (width == COLUMNS) {
      for (let i: u32 = 0; i < k; i++) {
        v128.store(to, v128.load(from));
        v128.store(to, v128.load(from, 16), 16);
        from += stride;
        to += 32;
      }
    } else {
      for (let i: u32 = 0; i < k; i++) {
        v128.store(to, v128.load(from));
        store<u64>(to, load<u64>(from, 16), 16);
        from += stride;
        to += 24;
      }
    }
    return;
  }
  const bytes = (width as usize) << 2;
  let line: u32 = 0;
  if (stride == 4) {
    for (; line + ROWS <= count; line += ROWS)
      transposeFour(from + line * lineStride, to + (line << 2), k, lineStride, bytes);
    if (line + 2 <= count) {
      transposeTwo(from + line * lineStride, to + (line << 2), k, lineStride, bytes);
      line += 2;
    }
  }
  for (; line < count; line++) {
    let source = from + line * lineStride;
    let target = to + (line << 2);
    for (let i: u32 = 0; i < k; i++) {
      store<f32>(target, load<f32>(source));
      source += stride;
      target += bytes;
    }
  }
  for (; line < width; line++) {
    let target = to + (line << 2);
    for (let i: u32 = 0; i < k; i++) {
      store<f32>(target, 0);
      target += bytes;
    }
  }
}

/** Four lines of k adjacent numbers become k quadruples, `bytes` apart. */
export function transposeFour(from: usize, to: usize, k: u32, lineStride: usize, bytes: usize): void {
  let r0 = from,
    r1 = from + lineStride,
    r2 = r1 + lineStride,
    r3 = r2 + lineStride;
  for (let quads = k >> 2; quads != 0; quads--) {
    const a = v128.load(r0),
      b = v128.load(r1),
      c = v128.load(r2),
      d = v128.load(r3);
    const ab0 = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const ab1 = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    const cd0 = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const cd1 = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    v128.store(to, i8x16.shuffle(ab0, cd0, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    v128.store(to + bytes, i8x16.shuffle(ab0, cd0, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    v128.store(to + 2 * bytes, i8x16.shuffle(ab1, cd1, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    v128.store(to + 3 * bytes, i8x16.shuffle(ab1, cd1, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    r0 += 16;
    r1 += 16;
    r2 += 16;
    r3 += 16;
    to += 4 * bytes;
  }
  for (let i = k & 3; i != 0; i--) {
    store<u32>(to, load<u32>(r0));
    store<u32>(to, load<u32>(r1), 4);
    store<u32>(to, load<u32>(r2), 8);
    store<u32>(to, load<u32>(r3), 12);
    r0 += 4;
    r1 += 4;
    r2 += 4;
    r3 += 4;
    to += bytes;
  }
}

/** Two lines of k adjacent numbers become k pairs, `bytes` apart. */
function transposeTwo(from: usize, to: usize, k: u32, lineStride: usize, bytes: usize): void {
  let r0 = from, r1 = from + lineStride;
  for (let quads = k >> 2; quads != 0; quads--) {
    const a = v128.load(r0), b = v128.load(r1);
    const low = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const high = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    v128.store_lane<u64>(to, low, 0);
    v128.store_lane<u64>(to + bytes, low, 1);
    v128.store_lane<u64>(to + 2 * bytes, high, 0);
    v128.store_lane<u64>(to + 3 * bytes, high, 1);
    r0 += 16;
    r1 += 16;
    to += 4 * bytes;
  }
  for (let i = k & 3; i != 0; i--) {
    store<u32>(to, load<u32>(r0));
    store<u32>(to, load<u32>(r1), 4);
    r0 += 4;
    r1 += 4;
    to += bytes;
  }
}
