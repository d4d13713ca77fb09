// Constants, and ramps along the last axis.
import { F32 } from "../codes";
import { number, word } from "./command";
import { fillWords } from "./move";

/** Words: y, elements, elements per tile, bits. */
export function fillTile(command: usize, tile: u32): void {
  const perTile = word(command, 2);
  const first = tile * perTile;
  fillWords((word(command, 0) as usize) + ((first as usize) << 2), word(command, 3), min(perTile, word(command, 1) - first));
}

/** Words: y, elements, elements per tile, extent of the last axis, type. Numbers: value, step. Steps are taken in f64 and rounded once. */
export function rampTile(command: usize, tile: u32): void {
  const perTile = word(command, 2), width = word(command, 3);
  const value = number(command, 0), step = number(command, 1);
  const first = tile * perTile;
  const last = min(word(command, 1), first + perTile);
  let y = (word(command, 0) as usize) + ((first as usize) << 2);
  let i = first % width;
  for (let element = first; element < last; ) {
    const end = i + min(width - i, last - element);
    element += end - i;
    if (word(command, 4) == F32) {
      for (; i < end; i++) {
        store<f32>(y, f32(value + step * f64(i)));
        y += 4;
      }
    } else {
      for (; i < end; i++) {
        store<u32>(y, modulo(value + step * f64(i)));
        y += 4;
      }
    }
    i = 0;
  }
}

/** The whole part, modulo 2^32. */
function modulo(x: f64): u32 {
  const whole = trunc(x);
  return u32(whole - floor(whole * 2.3283064365386963e-10) * 4294967296.0);
}
