// The comparison of routers, with few steps: every router learns, steering steers, and the report is whole.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu } from "qwen-blocks/cpu";
import { afterAll, beforeAll, expect, test } from "vitest";
import { contenders } from "../../examples/routing/contenders.js";
import { sizes } from "../../examples/routing/model.js";
import { reportPage } from "../../examples/routing/report.js";
import { compareRouters, recipe, type Run } from "../../examples/routing/run.js";
import { readText, type Text } from "../../examples/train-toy/text.js";

const few = { ...recipe, steps: 6, contextLength: 16, batchSize: 2, heldOut: 1 };
let folder: string;
let text: Text;
let runs: Run[];
const printed: string[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "routing-"));
  const lines = Array.from({ length: 60 }, (_, i) => `Line ${i}: a <b> & the quick brown fox, ${i * i} times. é\n`);
  writeFileSync(join(folder, "a<b>.txt"), lines.join(""));
  text = readText([join(folder, "a<b>.txt")]);
  const backend = await cpu();
  runs = await compareRouters(backend, text, few, (line) => printed.push(line));
  expect(backend.memory.usage().buffers).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

test("every router learns the same text, and each does what it is there for", () => {
  expect(runs.map(({ contender }) => contender)).toEqual(contenders);
  expect(printed).toHaveLength(contenders.length);
  for (const { losses, history } of runs) {
    expect(losses[few.steps - 1]).toBeLessThan(losses[0]);
    expect(history.records).toHaveLength(few.steps * sizes.numHiddenLayers);
  }
  const [topK, sigmoid, topP, expertChoice, capacity] = runs.map(({ history }) => history.records);
  const share = 2 / sizes.numExperts;
  for (const { activated, droppedShare } of [...topK, ...sigmoid]) expect([activated, droppedShare]).toEqual([share, 0]); // prettier-ignore
  expect(new Set(topP.map(({ activated }) => activated)).size).toBeGreaterThan(1);
  for (const { maxOverMean } of expertChoice) expect(maxOverMean).toBe(1);
  for (const { activated, droppedShare } of capacity) expect(activated).toBeCloseTo(share * (1 - droppedShare), 6);
  expect(Math.max(...capacity.map(({ droppedShare }) => droppedShare))).toBeGreaterThan(0);
});

test("the report needs nothing from outside and lacks no number", () => {
  const page = reportPage(runs, text, few);
  const namespaces = ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"];
  expect((page.match(/https?:\/\/[^"'\s)]+/g) ?? []).filter((url) => !namespaces.includes(url))).toEqual([]);
  expect(page).not.toMatch(/<(script|link|img|iframe)\b|url\(|@import/);
  expect(page).not.toMatch(/NaN|undefined|Infinity|<b>\.txt/);
  const pictures = page.match(/<svg[^>]*>/g)!;
  expect(pictures).toHaveLength(2 + 6 + 1 + contenders.length);
  expect(pictures.every((svg) => /aria-label="[^"]{20,}" role="img"/.test(svg))).toBe(true);
  for (const { color } of contenders) expect(page.match(new RegExp(`${color}: #`, "g"))).toHaveLength(2);
});
