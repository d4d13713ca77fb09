// Fused ops of the wasm backend at sizes where rows have several blocks and calls have many tiles, which the drawn calls of the suite are too
// small for: as near to the CPU backend, which sums in f64, as f32 allows, and the same bits on 1 and 3 threads.
//
// Bounds, with u = 2^-24, half a unit in the last place of f32. Each is of first order; a hundredth more covers the rest.
// - A sum of n terms, in any order, is off by at most (n - 1) u times the sum of their magnitudes, and with roundings that are independent by
//   8 sqrt(n) u but for a chance of 2 exp(-32) (Higham & Mary 2019, theorem 2.4). The smaller of the two is taken, so a term of ordinary size
//   that is lost or taken twice lies outside.
// - exp and sigmoid are within 4 ulp, which is 8 u relative to the result. The argument of exp is a rounded difference of magnitude at most
//   `spread`, so a relative spread * u more.
// - Each other operation adds u. What the CPU backend gives is rounded once, u of it; below 2^-126 only the distance itself counts.
import type { Backend, Random, Tensor } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, expect } from "vitest";

const specification = await cpu();
const [single, several] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
afterAll(() => Promise.all([specification, single, several].map((backend) => backend[Symbol.asyncDispose]())));

const unit = 2 ** -24;
const tiny = 2 ** -126;

/** How many u a sum of n terms is off by, relative to the sum of their magnitudes. */
export const summed = (n: number): number => Math.min(n, 8 * Math.sqrt(n));

/** An output's distance from the exact one, in u: a number for the element itself, or one for each element. Integers have none. */
type Reach = number | Float64Array | "exact";

export interface Case {
  readonly name: string;
  readonly run: (backend: Backend) => Readonly<Record<string, Tensor | undefined>>;
  readonly reach: Readonly<Record<string, Reach>>;
}

export async function compare({ name, run, reach }: Case): Promise<void> {
  const read = async (backend: Backend): Promise<Readonly<Record<string, Float32Array | Int32Array>>> => {
    const made = Object.entries(run(backend)).filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
    return Object.fromEntries(
      await Promise.all(made.map(async ([key, y]) => [key, (await y.data()) as Float32Array | Int32Array] as const)),
    );
  };
  const [expected, one, three] = [await read(specification), await read(single), await read(several)];
  expect(Object.keys(expected).sort(), `${name}: outputs on cpu`).toEqual(Object.keys(reach).sort());
  expect(Object.keys(one).sort(), `${name}: outputs on wasm`).toEqual(Object.keys(reach).sort());
  for (const [key, allowed] of Object.entries(reach)) {
    const [right, ours, theirs] = [expected[key], one[key], three[key]];
    expect([ours.length, theirs.length], `${name}: ${key}, elements`).toEqual([right.length, right.length]);
    const off = (i: number): number => {
      if (allowed === "exact") return 0;
      const own = Math.abs(right[i]);
      return unit * (1.01 * (typeof allowed === "number" ? allowed * own : allowed[i]) + own) + tiny;
    };
    const wrong = ours.findIndex((x: number, i: number) => !(Math.abs(x - right[i]) <= off(i)));
    const words = `${name}: ${key}[${wrong}] is ${ours[wrong]} on wasm, ${right[wrong]} on cpu`;
    expect(wrong === -1 ? "" : `${words}, and may be off by ${off(wrong)}`).toBe("");
    const bits = [ours, theirs].map(({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length));
    const apart = bits[0].findIndex((word, i) => word !== bits[1][i]);
    expect(apart === -1 ? "" : `${name}: ${key}[${apart}] is ${ours[apart]} on 1 thread, ${theirs[apart]} on 3`).toBe(
      "",
    );
  }
}

export const normals = (random: Random, length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => scale * random.normal());

/** Of a row: the distance of its smallest finite number from its largest, the sum of exp(x - largest), and the largest. */
export function exponentialsOf(row: Float32Array): { spread: number; sum: number; most: number } {
  const finite = row.filter(Number.isFinite);
  const most = finite.reduce((a, b) => Math.max(a, b));
  const sum = finite.reduce((total, x) => total + Math.exp(x - most), 0);
  return { spread: most - finite.reduce((a, b) => Math.min(a, b)), sum, most };
}

/** For each row, f of it and its index. */
export function eachRow<T>(x: Float32Array, width: number, f: (row: Float32Array, r: number) => T): T[] {
  return Array.from({ length: x.length / width }, (_, r) => f(x.subarray(r * width, (r + 1) * width), r));
}

/** The sum of a row's exponentials, which may grow block by block and be scaled whenever a block has a larger number than those before. */
export const ofSum = (spread: number, width: number): number =>
  8 + spread + summed(width) + Math.ceil(width / 2048) * (8 + spread + 2);
/** One of them over the sum: two exponentials and a sum, and the division, whole or as a factor. */
export const ofShare = (spread: number, width: number): number => 8 + spread + ofSum(spread, width) + 3;

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
