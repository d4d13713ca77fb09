// Codes of few bits that stand for numbers from a list, under one scale per group: FP4 and NF4.
import { rowsOf } from "../../core/shape.js";
import { packBits } from "./bits.js";
import { blocksPerRow, eachBlock, expectGroup, greatest, storedAsF16 } from "./blocks.js";
import { fitStored, type Scales, type Try } from "./fit.js";
import { scaleToF16 } from "./float-codes.js";
import { weigher } from "./importance.js";
import type { Scheme } from "./scheme.js";

/** The index of the number that lies nearest to x, by distances rounded to f32; of equals the first. */
export function nearestOf(numbers: ArrayLike<number>, x: number): number {
  let best = 0;
  let least = Infinity;
  for (let code = 0; code < numbers.length; code++) {
    const distance = Math.fround(Math.abs(numbers[code] - x));
    if (distance >= least) continue;
    least = distance;
    best = code;
  }
  return best;
}

/** How many numbers share a scale. */
export interface CodebookOptions {
  readonly group?: number;
  /** "absmax" unless given. What is stored has the same form either way. */
  readonly scales?: Scales;
}

/** @param numbers symmetric at their ends; the scale takes a group's greatest magnitude to the last of them */
function codebookScheme(
  name: string,
  numbers: readonly number[],
  usual: number,
  { group = usual, scales = "absmax" }: CodebookOptions,
): Scheme {
  expectGroup(name, group);
  const most = Math.max(...numbers);
  const round = (scaled: number): number => numbers[nearestOf(numbers, scaled)];
  const searches = scales === "leastSquares";
  return {
    name: group === usual ? name : `${name}_${group}`,
    parts: [
      { role: "code", per: "element", bits: 4, as: numbers },
      { role: "scale", per: "block", bits: 16, as: "f16" },
    ],
    block: group,
    ...(searches ? { scales, hostOnly: true as const } : {}),
    encode(x, shape, importance) {
      const { rows, width } = rowsOf(shape);
      const weigh = weigher(name, shape, importance);
      const blocks = blocksPerRow(width, group);
      const codes = new Uint8Array(rows * width);
      const stored = new Uint16Array(rows * blocks);
      eachBlock(shape, group, (from, to, block) => {
        const usual: Try = { scale: storedAsF16(greatest(x, from, to) / most), round };
        const around = (part: number): Try[] => [{ scale: usual.scale * part, round }];
        const { scale } =
          searches && usual.scale > 0 ? fitStored(x, [from, to], usual, around, storedAsF16, weigh(from, to)) : usual;
        stored[block] = scaleToF16(scale);
        for (let i = from; i < to; i++) codes[i] = nearestOf(numbers, scale > 0 ? Math.fround(x[i] / scale) : 0);
      });
      return [packBits(codes, 4, rows, width), packBits(stored, 16, rows, blocks)];
    },
  };
}

/** What the sixteen codes of E2M1 stand for (OCP Microscaling Formats 1.0). */
const e2m1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

/**
 * FP4: E2M1 codes in groups under an f16 scale, greatest magnitude / 6. 4 + 16 / group bits per weight, 4.5 at the usual group of 32. Within one
 * scale, half the step from 4 to 6, and within a quarter of one up to two scales; with `scales: "leastSquares"` scales are searched for. A group with a NaN, an infinity or a scale beyond f16 decodes
 * to NaN throughout.
 */
export function fp4(options: CodebookOptions = {}): Scheme {
  return codebookScheme("fp4", e2m1, 32, options);
}

/** Quantiles of a normal distribution, scaled to [-1, 1], zero among them: the table of QLoRA (Dettmers et al. 2023, appendix E). */
// prettier-ignore
const normalFloat = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];

/**
 * NF4: codes for the quantiles of a normal distribution in groups under an f16 scale, the greatest magnitude. 4 + 16 / group bits per weight,
 * 4.25 at the usual group of 64. Within 0.152 of the scale, half the widest step. NaN and infinities as in {@link fp4}.
 */
export function nf4(options: CodebookOptions = {}): Scheme {
  return codebookScheme("nf4", normalFloat, 64, options);
}
