// The wasm backend's fused ops of the mixture of experts, at large sizes.
import { combineExperts, expertMlp, groupByExpert, Random, route, tensor } from "qwen-blocks";
import { test } from "vitest";
import { compare, eachRow, exponentialsOf, normals, ofShare, sigmoid, summed } from "./wasm-beside-cpu.js";

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
