// The wasm backend's fused ops on rows and on experts, at sizes where rows have several blocks and calls have many tiles, which the drawn
// calls of the suite are too small for: as near to the CPU backend, which sums in f64, as f32 allows, and the same bits on 1 and 3 threads.
//
// Bounds, with u = 2^-24, half a unit in the last place of f32. Each is of first order; a hundredth more covers the rest.
// - A sum of n terms, in any order, is off by at most (n - 1) u times the sum of their magnitudes, and with roundings that are independent by
//   8 sqrt(n) u but for a chance of 2 exp(-32) (Higham & Mary 2019, theorem 2.4). The smaller of the two is taken, so a term of ordinary size
//   that is lost or taken twice lies outside.
// - exp and sigmoid are within 4 ulp, which is 8 u relative to the result. The argument of exp is a rounded difference of magnitude at most
//   `spread`, so a relative spread * u more.
// - Each other operation adds u. What the CPU backend gives is rounded once, u of it; below 2^-126 only the distance itself counts.
import {
  addRmsNorm,
  combineExperts,
  crossEntropy,
  crossEntropyGrad,
  expertMlp,
  groupByExpert,
  Random,
  rmsNorm,
  rmsNormGrad,
  route,
  softmax,
  swiglu,
  swigluGrad,
  tensor,
  type Backend,
  type Tensor,
} from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, expect, test } from "vitest";

const specification = await cpu();
const [single, several] = [await wasm({ threads: 1 }), await wasm({ threads: 3 })];
afterAll(() => Promise.all([specification, single, several].map((backend) => backend[Symbol.asyncDispose]())));

const unit = 2 ** -24;
const tiny = 2 ** -126;
const eps = 1e-6;

/** How many u a sum of n terms is off by, relative to the sum of their magnitudes. */
const summed = (n: number): number => Math.min(n, 8 * Math.sqrt(n));

/** An output's distance from the exact one, in u: a number for the element itself, or one for each element. Integers have none. */
type Reach = number | Float64Array | "exact";

interface Case {
  readonly name: string;
  readonly run: (backend: Backend) => Readonly<Record<string, Tensor | undefined>>;
  readonly reach: Readonly<Record<string, Reach>>;
}

async function compare({ name, run, reach }: Case): Promise<void> {
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

const normals = (random: Random, length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => scale * random.normal());

/** Rows of logits from about -10 to 10, row r with its largest number, 12, at `tops[r]`; what comes before block `from[r]` is -infinity. */
function logitsOf(rows: number, width: number, tops: readonly number[], hidden: readonly number[] = []): Float32Array {
  const x = normals(new Random(width), rows * width, 2.5);
  tops.forEach((top, r) => {
    x.fill(-Infinity, r * width, r * width + (hidden[r] ?? 0));
    x[r * width + top] = 12;
  });
  return x;
}

/** Of a row: the distance of its smallest finite number from its largest, the sum of exp(x - largest), and the largest. */
function exponentialsOf(row: Float32Array): { spread: number; sum: number; most: number } {
  const finite = row.filter(Number.isFinite);
  const most = finite.reduce((a, b) => Math.max(a, b));
  const sum = finite.reduce((total, x) => total + Math.exp(x - most), 0);
  return { spread: most - finite.reduce((a, b) => Math.min(a, b)), sum, most };
}

/** For each row, f of it and its index. */
function eachRow<T>(x: Float32Array, width: number, f: (row: Float32Array, r: number) => T): T[] {
  return Array.from({ length: x.length / width }, (_, r) => f(x.subarray(r * width, (r + 1) * width), r));
}

/** The sum of a row's exponentials, which may grow block by block and be scaled whenever a block has a larger number than those before. */
const ofSum = (spread: number, width: number): number =>
  8 + spread + summed(width) + Math.ceil(width / 2048) * (8 + spread + 2);
/** One of them over the sum: two exponentials and a sum, and the division, whole or as a factor. */
const ofShare = (spread: number, width: number): number => 8 + spread + ofSum(spread, width) + 3;

const rowCases: { R: number; V: number; tops: number[]; hidden?: number[] }[] = [
  { R: 3, V: 2049, tops: [2048, 2047, 0], hidden: [0, 2040, 0] },
  { R: 2, V: 5003, tops: [5002, 2050] },
  { R: 4, V: 5003, tops: [4096, 5000, 2048, 3], hidden: [2048, 4096, 0, 0] },
  { R: 700, V: 67, tops: [66, 0, 33] },
];

for (const { R, V, tops, hidden } of rowCases) {
  const x = logitsOf(R, V, tops, hidden);
  const rows = eachRow(x, V, exponentialsOf);
  const widest = rows.reduce((most, { spread }) => Math.max(most, spread), 0);
  const random = new Random(R + V);
  // The first of them names the largest logit, the second the last, the third none; all of them where the row is not hidden.
  const targets = Int32Array.from({ length: R }, (_, r) => {
    if (r === 0) return tops[0];
    return r === 1 ? V - 1 : r % 3 === 2 ? -100 : (hidden?.[r] ?? 0) + random.integer(V - (hidden?.[r] ?? 0));
  });
  const dLoss = normals(random, R);
  const counts = (r: number): boolean => targets[r] >= 0;

  const losses = Float64Array.from(rows, ({ spread, sum, most }, r) => {
    const terms = Math.abs(most) + Math.log(sum) + Math.abs(x[r * V + targets[r]]);
    return counts(r) ? ofSum(spread, V) + 2 * terms : 0; // d log(s) = ds / s
  });
  const gradients = new Float64Array(R * V);
  rows.forEach(({ spread, sum, most }, r) => {
    for (let i = 0; i < V && counts(r); i++) {
      const share = Math.exp(x[r * V + i] - most) / sum;
      const named = i === targets[r] ? 1 : 0;
      gradients[r * V + i] = Math.abs(dLoss[r]) * (share * ofShare(spread, V) + 3 * (share + named));
    }
  });

  const shape = `[${R},${V}]`;
  const cases: Case[] = [
    {
      name: `softmax ${shape}`,
      run: (b) => ({ y: softmax(tensor(b, x, [R, V])) }),
      reach: { y: ofShare(widest, V) },
    },
    {
      name: `crossEntropy ${shape}`,
      run: (b) => ({ loss: crossEntropy(tensor(b, x, [R, V]), tensor(b, targets)) }),
      reach: { loss: losses },
    },
    {
      name: `crossEntropyGrad ${shape}`,
      run: (b) => ({ dLogits: crossEntropyGrad(tensor(b, x, [R, V]), tensor(b, targets), tensor(b, dLoss)) }),
      reach: { dLogits: gradients },
    },
  ];
  for (const each of cases) test(each.name, () => compare(each));
}

for (const [R, D] of [
  [4000, 65],
  [1001, 8],
  [700, 131],
  [70, 5003],
]) {
  const random = new Random(R + D);
  const [x, residual, dy] = [normals(random, R * D), normals(random, R * D), normals(random, R * D)];
  const weight = normals(random, D);
  // 1 / sqrt(mean of squares + eps) halves the relative error of the sum.
  const ofScale = summed(D) / 2 + 4;
  const ofDx = new Float64Array(R * D);
  const ofWeight = new Float64Array(D);
  eachRow(x, D, (row, r) => {
    const s = 1 / Math.sqrt(row.reduce((sum, value) => sum + value * value, 0) / D + eps);
    const products = row.reduce((sum, value, i) => sum + Math.abs(value * weight[i] * dy[r * D + i]), 0);
    row.forEach((value, i) => {
      const d = dy[r * D + i];
      // dx = s w dy - x s^3 mean(x w dy): s once, and s three times with a sum
      const straight = Math.abs(s * weight[i] * d) * (ofScale + 4);
      const pulled = (Math.abs(value) * s ** 3 * products) / D;
      ofDx[r * D + i] = straight + pulled * (3 * ofScale + summed(D) + 8);
      ofWeight[i] += Math.abs(d * value * s) * (ofScale + 3 + summed(R));
    });
  });
  const cases: Case[] = [
    {
      name: `rmsNorm [${R},${D}]`,
      run: (b) => ({ y: rmsNorm(tensor(b, x, [R, D]), tensor(b, weight), eps) }),
      reach: { y: ofScale + 3 },
    },
    {
      name: `addRmsNorm [${R},${D}]`,
      run: (b) => ({ ...addRmsNorm(tensor(b, x, [R, D]), tensor(b, residual, [R, D]), tensor(b, weight), eps) }),
      reach: { sum: "exact", y: ofScale + 3 }, // a sum of two is rounded once, in f32 or from f64
    },
    ...(
      [
        [true, false],
        [false, true],
        [true, true],
      ] as const
    ).map(([wantsX, wantsWeight]): Case => {
      const asked = [...(wantsX ? ["dx"] : []), ...(wantsWeight ? ["dWeight"] : [])].join(" and ");
      return {
        name: `rmsNormGrad [${R},${D}], ${asked}`,
        run: (b) => {
          const [of, by, from] = [tensor(b, x, [R, D]), tensor(b, weight), tensor(b, dy, [R, D])];
          const [dx, dWeight] = rmsNormGrad(of, by, from, eps, [wantsX, wantsWeight]);
          return { dx, dWeight };
        },
        reach: { ...(wantsX ? { dx: ofDx } : {}), ...(wantsWeight ? { dWeight: ofWeight } : {}) },
      };
    }),
  ];
  for (const each of cases) test(each.name, () => compare(each));
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

for (const [R, I] of [
  [1500, 33],
  [3, 5003],
  [700, 64],
]) {
  const random = new Random(R + I);
  const gateUp = normals(random, R * 2 * I, 3);
  const dy = normals(random, R * I);
  const ofGrad = new Float64Array(R * 2 * I);
  eachRow(gateUp, 2 * I, (row, r) => {
    for (let i = 0; i < I; i++) {
      const [gate, up, d] = [row[i], row[I + i], dy[r * I + i]];
      const s = sigmoid(gate);
      // dGate = dy up (s + gate s - gate s s), in any form: three terms, s twice at most in each, and six operations
      ofGrad[r * 2 * I + i] = Math.abs(d * up) * s * (1 + Math.abs(gate) * (1 + s)) * (2 * 8 + 6);
      ofGrad[r * 2 * I + I + i] = Math.abs(d * gate) * s * (8 + 2);
    }
  });
  const cases: Case[] = [
    {
      name: `swiglu [${R},${2 * I}]`,
      run: (b) => ({ y: swiglu(tensor(b, gateUp, [R, 2 * I])) }),
      reach: { y: 8 + 2 },
    },
    {
      name: `swigluGrad [${R},${2 * I}]`,
      run: (b) => ({ dGateUp: swigluGrad(tensor(b, gateUp, [R, 2 * I]), tensor(b, dy, [R, I])) }),
      reach: { dGateUp: ofGrad },
    },
  ];
  for (const each of cases) test(each.name, () => compare(each));
}

{
  const [R, E, k] = [700, 130, 8];
  const random = new Random(R);
  const logits = normals(random, R * E, 2);
  // Quarters: every row has ties, and the lower index comes first.
  const ties = logits.map((value) => Math.round(value * 4) / 4);
  const biases = normals(random, E, 0.2);
  const widest = eachRow(logits, E, exponentialsOf).reduce((most, { spread }) => Math.max(most, spread), 0) + 0.25;
  for (const score of ["softmax", "sigmoid", "uniform"] as const) {
    for (const normalize of [false, true]) {
      for (const kind of ["plain", "ties", "bias"] as const) {
        const name = `route [${R},${E}], k ${k}, ${score}, normalize ${normalize}, ${kind}`;
        const x = kind === "ties" ? ties : logits;
        test(name, () =>
          compare({
            name,
            run: (b) => {
              const bias = kind === "bias" ? tensor(b, biases) : undefined;
              return { ...route(tensor(b, x, [R, E]), bias, { k, score, normalize, scale: 2.5 }) };
            },
            // A score, over a sum of k of them and by `scale`; the softmax has its own sum. The order is decided far from rounding.
            reach: { experts: "exact", weights: (score === "softmax" ? ofShare(widest, E) : 8) + 8 + summed(k) + 3 },
          }),
        );
      }
    }
  }
}

/** Experts below E that are no multiple of 4, repeated in a row at times; the last stands for half of all; -1, and numbers past E. */
function expertsOf(length: number, E: number): Int32Array {
  const random = new Random(length);
  return Int32Array.from({ length }, (_, i) => {
    if (i % 11 === 3) return -1;
    if (i % 29 === 5) return E + 2;
    const expert = random.integer(2) === 0 ? E - 1 : random.integer(E);
    return expert % 4 === 0 ? 1 : expert;
  });
}

for (const [G, n, E] of [
  [5, 3001, 70],
  [701, 37, 130],
  [1, 20003, 7],
]) {
  const name = `groupByExpert [${G},${n}], E ${E}`;
  const experts = expertsOf(G * n, E);
  test(name, () =>
    compare({
      name,
      run: (b) => ({ ...groupByExpert(tensor(b, experts, [G, n]), E) }),
      reach: { counts: "exact", rank: "exact" },
    }),
  );
}

for (const [R, k, D] of [
  [700, 8, 133],
  [3, 5, 5003],
  [1, 9, 20003],
]) {
  const name = `combineExperts [${R},${k},${D}]`;
  const [x, weights] = [normals(new Random(D), R * k * D), normals(new Random(R), R * k)];
  const reach = new Float64Array(R * D);
  x.forEach((value, i) => {
    const slot = Math.floor(i / D);
    reach[Math.floor(slot / k) * D + (i % D)] += Math.abs(value * weights[slot]) * (summed(k) + 1);
  });
  test(name, () =>
    compare({
      name,
      run: (b) => ({ y: combineExperts(tensor(b, x, [R, k, D]), tensor(b, weights, [R, k])) }),
      reach: { y: reach },
    }),
  );
}

for (const [R, k, E, D, I] of [
  [17, 1, 3, 70, 33],
  [300, 3, 9, 37, 65],
  [40, 5, 130, 129, 30],
]) {
  const name = `expertMlp x [${R},${D}], experts [${R},${k}] of ${E}, I ${I}`;
  const random = new Random(R + E);
  const x = normals(random, R * D);
  const gateUp = normals(random, E * 2 * I * D, 1 / Math.sqrt(D));
  const down = normals(random, E * D * I, 1 / Math.sqrt(I));
  const [experts, weights] = [expertsOf(R * k, E), normals(random, R * k)];

  /** A product's value and, in u, how far it may be off: its sum, and each factor a[i] by aOff[i]. */
  const product = (a: ArrayLike<number>, aOff: ArrayLike<number> | undefined, b: Float32Array): [number, number] => {
    let [value, magnitude, carried] = [0, 0, 0];
    for (let i = 0; i < b.length; i++) {
      value += a[i] * b[i];
      magnitude += Math.abs(a[i] * b[i]);
      if (aOff) carried += aOff[i] * Math.abs(b[i]);
    }
    return [value, magnitude * (summed(b.length) + 1) + carried];
  };
  const reach = new Float64Array(R * D);
  experts.forEach((expert, slot) => {
    if (expert < 0 || expert >= E) return;
    const r = Math.floor(slot / k);
    const row = x.subarray(r * D, (r + 1) * D);
    const at = (i: number): Float32Array => gateUp.subarray((expert * 2 * I + i) * D, (expert * 2 * I + i + 1) * D);
    const [hidden, hiddenOff] = [new Float64Array(I), new Float64Array(I)];
    for (let i = 0; i < I; i++) {
      const [[gate, gateOff], [up, upOff]] = [product(row, undefined, at(i)), product(row, undefined, at(I + i))];
      const silu = gate * sigmoid(gate);
      hidden[i] = silu * up;
      hiddenOff[i] = 1.1 * gateOff * Math.abs(up) + Math.abs(silu) * upOff + 10 * Math.abs(hidden[i]); // |silu'| < 1.1
    }
    for (let i = 0; i < D; i++) {
      const from = (expert * D + i) * I;
      const [value, off] = product(hidden, hiddenOff, down.subarray(from, from + I));
      reach[r * D + i] += Math.abs(weights[slot]) * (off + (summed(k) + 1) * Math.abs(value));
    }
  });
  test(name, () =>
    compare({
      name,
      run: (b) => ({
        y: expertMlp(
          tensor(b, x, [R, D]),
          tensor(b, gateUp, [E, 2 * I, D]),
          tensor(b, down, [E, D, I]),
          tensor(b, experts, [R, k]),
          tensor(b, weights, [R, k]),
        ),
      }),
      reach: { y: reach },
    }),
  );
}
