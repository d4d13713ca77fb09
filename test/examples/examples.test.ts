// Every example runs and shows what it promises.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test, vi } from "vitest";

const folder = resolve(import.meta.dirname, "../../examples");

/** By file, what its output must say. */
const promises: Readonly<Record<string, readonly RegExp[]>> = {
  "01-attention-block.ts": [/block: f32\[1,6,64\] -> f32\[1,6,64\]/, /tokens that see the last one: 5, of 0 to 5/],
  "02-moe-layer.ts": [
    /before: the busiest expert has [4-8]\.\d\d/,
    /after: the busiest expert has [12]\.\d\d times the mean load, 0 are idle/,
  ],
  "03-decode-with-cache.ts": [/holds 38 tokens/, /at once: (0\.0e\+0|\d\.\de-(?:[6-9]|\d\d))\n/, /model: (\d+ ?){8}\n/],
  "04-pack-weights.ts": [
    /f32 +6\.59 MB/,
    /q8_0 +1\.83 MB, logits off by [12]\.\d %/,
    /q4_0 +1\.02 MB, logits off by [12]\d\.\d %/,
    /packed: layers\.0\.mlp\.experts\.gateUpProj, /,
    /alone: bf16\[8,64\]/,
  ],
  "05-your-own-router.ts": [/threshold 0: 4\.00 experts per token/, /threshold 0\.2: [12]\.\d\d experts per token/],
  "07-attention-window.ts": [
    /window of 8 and global tokens: KL 0\.0\d+ nats, top-1 (9[89]\.\d|100\.0) %/,
    /window of 8 alone: KL 0\.\d+ nats, top-1 9\d\.\d %, of answers [4-7]\d\.\d %/,
  ],
};

test("every example is listed here", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  expect(names.sort()).toEqual(Object.keys(promises));
});

test.each(Object.entries(promises))("%s", async (name, expected) => {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  try {
    await import(resolve(folder, name));
    const output = log.mock.calls.map(([line]) => `${line}\n`).join("");
    for (const promise of expected) expect(output).toMatch(promise);
  } finally {
    log.mockRestore();
  }
});
