// The wasm backend's fused ops on rows, at large sizes.
import {
  crossEntropy,
  crossEntropyGrad,
  Random,
  softmax,
  tensor,
  rmsNorm,
  rmsNormGrad,
  addRmsNorm,
  swiglu,
  swigluGrad,
} from "qwen-blocks";
import { test } from "vitest";
import {
  compare,
  eachRow,
  exponentialsOf,
  normals,
  ofShare,
  ofSum,
  sigmoid,
  summed,
  type Case,
} from "./wasm-beside-cpu.js";

const eps = 1e-6;

/** Rows of logits from about -10 to 10, row r with its largest number, 12, at `tops[r]`; what comes before block `from[r]` is -infinity. */
function logitsOf(rows: number, width: number, tops: readonly number[], hidden: readonly number[] = []): Float32Array {
  const x = normals(new Random(width), rows * width, 2.5);
  tops.forEach((top, r) => {
    x.fill(-Infinity, r * width, r * width + (hidden[r] ?? 0));
    x[r * width + top] = 12;
  });
  return x;
}

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
