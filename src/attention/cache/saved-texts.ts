// The texts of a cache as tensors of whole numbers, and back. Slots are numbered anew, by those in use.
import type { Backend } from "../../backends/backend.js";
import { CapacityError, CheckpointError, ConfigError } from "../../core/errors.js";
import type { DType } from "../../core/dtype.js";
import { showShape, type Shape } from "../../core/shape.js";
import { tensor } from "../../tensor/create.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { HeldRow, HeldText } from "./held-row.js";
import type { Sight } from "./sight.js";

/** Stands for all positions of a segment. */
const whole = 2 ** 31 - 1;

/** What is saved beside keys and values. */
export const savedTextNames = ["sight", "texts", "tokens", "forgotten"] as const;

/**
 * sight i32 [3]: window, sinks, whether it forgets. texts i32 [B, 2]: length, and the least it may be truncated to. tokens i32 [n, 5]: row,
 * index in the text, position, segment, slot. forgotten i32 [m, 3]: row, segment, the greatest position that was given up.
 * @returns the slots in use as well, in the order of their new numbers
 */
export function savedTexts(
  backend: Backend,
  rows: readonly HeldRow[],
  { window, sinks, forgets }: Sight,
): { readonly slots: Int32Array; readonly texts: Record<(typeof savedTextNames)[number], Tensor> } {
  const slots = Int32Array.from(new Set(rows.flatMap(({ tokens }) => tokens.map(({ slot }) => slot)))).sort();
  const number = new Map(Array.from(slots, (slot, i) => [slot, i]));
  const tokens = rows.flatMap((row, b) =>
    row.tokens.map((token) => [b, token.index, token.position, token.segment, number.get(token.slot) as number]),
  );
  const forgotten = rows.flatMap((row, b) =>
    [...row.forgotten].map(([segment, position]) => [b, segment, Math.min(position, whole)]),
  );
  const table = (lines: readonly (readonly number[])[], width: number): Tensor =>
    tensor(backend, Int32Array.from(lines.flat()), [lines.length, width]);
  const texts = {
    sight: tensor(backend, Int32Array.of(window, sinks, forgets ? 1 : 0)),
    texts: table(
      rows.map(({ length, leastLength }) => [length, leastLength]),
      2,
    ),
    tokens: table(tokens, 5),
    forgotten: table(forgotten, 3),
  };
  return { slots, texts };
}

/** @returns the texts, and how many slots they use @throws ConfigError, CapacityError, CheckpointError */
export async function readTexts(
  saved: Readonly<Record<string, Tensor>>,
  sight: Sight,
  maxLength: number,
): Promise<{ readonly texts: readonly HeldText[]; readonly count: number }> {
  const of = async (name: (typeof savedTextNames)[number], ...shape: number[]): Promise<Int32Array> =>
    (await expectSaved(saved, name, "i32", shape).data()) as Int32Array;
  const [window, sinks, forgets] = await of("sight", 3);
  if (window !== sight.window || sinks !== sight.sinks || forgets !== Number(sight.forgets))
    throw new ConfigError(
      `cache: window ${sight.window}, sinks ${sight.sinks} and kind must be those of the saved cache, got ${window}, ${sinks} of ${forgets ? "a ring" : "one that keeps all"}; make the cache as the saved one was made`,
    );
  const texts = linesOf(await of("texts", -1, 2), 2).map(([length, leastLength]) => ({
    ...{ length, leastLength, tokens: [] as HeldText["tokens"][number][], forgotten: new Map<number, number>() },
  }));
  const long = texts.findIndex(({ length }) => length > maxLength);
  if (long >= 0)
    throw new CapacityError(
      `cache: row ${long} must hold at most maxLength ${maxLength} tokens, got ${texts[long].length} saved ones; make a longer cache`,
    );
  const tokens = linesOf(await of("tokens", -1, 5), 5);
  let count = 0;
  for (const [row, index, position, segment, slot] of tokens) {
    const text = texts.at(row < 0 ? texts.length : row);
    const last = text?.tokens.at(-1)?.index ?? -1;
    if (!text || index <= last || index >= text.length || position < 0 || slot < 0 || slot >= tokens.length)
      throw new CheckpointError(
        `cache: tokens must hold each row's in order, got row ${row}, token ${index}, position ${position}, slot ${slot}; save again`,
      );
    text.tokens.push({ index, position, segment, slot });
    count = Math.max(count, slot + 1);
  }
  for (const [row, segment, position] of linesOf(await of("forgotten", -1, 3), 3))
    texts.at(row)?.forgotten.set(segment, position === whole ? Infinity : position);
  return { texts, count };
}

function linesOf(numbers: Int32Array, width: number): Int32Array[] {
  return Array.from({ length: numbers.length / width }, (_, i) => numbers.subarray(i * width, (i + 1) * width));
}

/** @throws CheckpointError unless there is such a tensor */
export function expectSaved(saved: Readonly<Record<string, Tensor>>, name: string, dtype: DType, shape: Shape): Tensor {
  const found = Object.hasOwn(saved, name) ? saved[name] : undefined;
  const fits = found?.dtype === dtype && found.shape.length === shape.length;
  // An extent of -1 stands for any.
  if (fits && shape.every((extent, axis) => extent === -1 || extent === found.shape[axis])) return found;
  throw new CheckpointError(
    `cache: ${name} must be ${dtype}${showShape(shape)} among the saved tensors, got ${found?.toString() ?? "none"}; load into a cache with the options of the saved one`,
  );
}
