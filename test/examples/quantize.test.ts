// The comparison of formats, on a run of few steps: every format is there, smaller ones follow f32 less closely, and the report is whole.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, beforeAll, expect, test } from "vitest";
import { agreementOf } from "../../examples/quantize/agreement.js";
import { formats } from "../../examples/quantize/formats.js";
import { reportPage } from "../../examples/quantize/report.js";
import { compareRun, type Comparison } from "../../examples/quantize/run.js";
import { trainToy } from "../../examples/train-toy/run.js";
import { toyRecipe } from "../../examples/train-toy/settings.js";

const sizes = { hiddenSize: 32, numAttentionHeads: 2, headDim: 16, numExperts: 8, numExpertsPerTok: 2, moeIntermediateSize: 32 }; // prettier-ignore
const recipe = { ...toyRecipe, config: { ...toyRecipe.config, ...sizes }, contextLength: 16, batchSize: 2, sampleTokens: 4 }; // prettier-ignore

let out: string;
let comparison: Comparison;
const printed: string[] = [];
beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), "quantize-"));
  const text = join(out, "text.txt");
  writeFileSync(text, Array.from({ length: 30 }, (_, i) => `Line ${i}: a <b> & the quick brown fox.\n`).join(""));
  const { signal } = new AbortController();
  await trainToy({ resume: false, text: [text], steps: 4, out }, { signal, print: () => {}, recipe });
  const backend = await wasm({ threads: 1 });
  comparison = await compareRun(backend, "Toy", out, 2, (line) => printed.push(line));
  expect(backend.memory.usage().buffers).toBe(0);
  await backend[Symbol.asyncDispose]();
}, 60_000);
afterAll(() => rmSync(out, { recursive: true }));

test("every format is measured, and the fewer its bits the less it agrees with f32", () => {
  const { stored } = comparison;
  expect(stored.map(({ format }) => format)).toEqual(formats);
  expect(printed).toHaveLength(1 + formats.length);
  const of = (name: string) => stored.find(({ format }) => format.name === name)!;
  expect(of("f32")).toMatchObject({ bitsPerWeight: 32, divergence: 0, sameFirst: 1 });
  // A row of one block: its scale of 16 bits takes a word of 32.
  expect([of("Q8_0"), of("Q4_0"), of("f16")].map(({ bitsPerWeight }) => bitsPerWeight)).toEqual([9, 5, 16]);
  const falling = ["f16", "bf16", "Q8_0", "Q4_0"].map((name) => of(name));
  for (const [i, { divergence, bytes }] of falling.entries()) {
    expect(divergence).toBeGreaterThan(i === 0 ? 0 : falling[i - 1].divergence);
    expect(bytes).toBeLessThan(of("f32").bytes);
  }
});

test("agreement is that of softmaxed logits", () => {
  const [even, steep] = [Float32Array.of(0, 0, 1, 1), Float32Array.of(Math.log(3), 0, 1, 2)];
  const { divergence, sameFirst } = agreementOf([even], [steep], 2);
  const [first, second] = [0.75, 1 / (1 + Math.E)].map((p) => -0.5 * Math.log(4 * p * (1 - p)));
  expect(divergence).toBeCloseTo((first + second) / 2, 6);
  expect(sameFirst).toBe(0.5);
});

test("the report needs nothing from outside and lacks no number", () => {
  const page = reportPage([comparison, { ...comparison, name: "Longer" }], "wasm");
  const namespaces = ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"];
  expect((page.match(/https?:\/\/[^"'\s)]+/g) ?? []).filter((url) => !namespaces.includes(url))).toEqual([]);
  expect(page).not.toMatch(/NaN|undefined|Infinity/);
  for (const { name } of formats) expect(page.split(`<th scope="row">${name}<`)).toHaveLength(3);
  const pictures = page.match(/<svg[^>]*>/g)!;
  expect(pictures).toHaveLength(2);
  expect(pictures.every((svg) => /aria-label="[^"]{20,}" role="img"/.test(svg))).toBe(true);
});
