// A command in linear memory: code, number of tiles, four f64 numbers, then u32 words. JavaScript writes it (engine.ts), tiles read it.
import { NUMBERS, WORDS } from "../layout";

export function tilesOf(command: usize): u32 {
  return load<u32>(command, 4);
}

/** The i-th of the four numbers. */
export function number(command: usize, i: usize): f64 {
  return load<f64>(command + (i << 3), NUMBERS);
}

export function single(command: usize, i: usize): f32 {
  return f32(number(command, i));
}

/** The i-th word: a pointer, a size, a flag. */
export function word(command: usize, i: usize): u32 {
  return load<u32>(command + (i << 2), WORDS);
}

/** The i-th word where it is a signed number. */
export function signed(command: usize, i: usize): i32 {
  return load<i32>(command + (i << 2), WORDS);
}

/** Address of the i-th word: shapes and strides are lists of words. */
export function list(command: usize, i: usize): usize {
  return command + (i << 2) + WORDS;
}
