// The gpujs backend in pages of Chromium, on WebGL2, from a bundle that is minified: the exported suite, training, limits, what it holds.
import { resolve } from "node:path";
import { cpu } from "qwen-blocks/cpu";
import { conformanceCases, oracle } from "qwen-blocks/testing";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { emulatedGl } from "../browser/browser.js";
import { call, launch, type Chromium, type Realm } from "../browser/chromium.js";
import { expectWithinBounds, Tally } from "../laws/expect-same.js";
import { losses, pass } from "./gpujs-training.js";

const names = conformanceCases(await cpu(), { open: cpu }).map(({ name }) => name);
const patience = 300_000;

let chromium: Chromium;
beforeAll(async () => {
  chromium = await launch(emulatedGl, {
    entry: resolve(import.meta.dirname, "gpujs-page.ts"),
    minify: true,
    packages: { "gpu.js": resolve(import.meta.dirname, "node_modules/gpu.js") },
  });
}, patience);
afterAll(() => chromium.close());

describe("suite", { timeout: patience }, () => {
  let page: Realm;

  test("opens on WebGL2, and says so", async () => {
    page = await chromium.page("/not-isolated");
    const found = await call(page, "open", { kind: "gpujs", runs: 3 }, inject("fcSeed"));
    expect(found.info).toMatchObject({ mode: "webgl2" });
    expect(found.names).toEqual(names);
  });

  for (const name of names) test(name, () => call(page, "runCase", name));

  test("what was drawn reached the GPU", async () => {
    const { runs, programs, declined } = await call(page, "counters");
    expect(runs).toBeGreaterThan(1_000);
    expect(programs).toBeGreaterThan(20);
    console.log(`gpujs: ${runs} runs of ${programs} programs; declined ${declined}`);
  });

  test("closes", () => call(page, "close"));
});

describe("a mixture", { timeout: patience }, () => {
  test("has the logits, the loss and the gradients that the oracle allows", async () => {
    const judge = oracle("wgsl");
    const expected = await pass(judge, (y) => judge.inspect(y));
    const found = await call(await chromium.page("/not-isolated"), "passHere");
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    const tally = new Tally();
    for (const [name, numbers] of Object.entries(found)) expectWithinBounds(name, numbers, expected[name], tally);
    tally.expectMost();
  });

  test("learns as on the CPU, and keeps no texture", async () => {
    const steps = 12;
    await using reference = await cpu();
    const wanted = await losses(reference, steps);
    const { losses: found, textures, left } = await call(await chromium.page("/not-isolated"), "trainHere", steps);
    found.forEach((loss, i) => expect(Math.abs(loss - wanted[i]), `step ${i}`).toBeLessThan(1e-3));
    expect(found.at(-1)).toBeLessThan(0.8 * found[0]);
    expect(textures[3]).toBeGreaterThan(0);
    expect(textures.slice(4)).toEqual(textures.slice(4).fill(textures[3]));
    expect(left).toEqual({ buffers: 0, bytes: 0, scratch: 0, textures: 0 });
  });
});

describe("limits", { timeout: patience }, () => {
  test("tensors beyond a texture are computed on the host, and that is said", async () => {
    const page = await chromium.page("/not-isolated");
    await call(page, "limitTextures", 64);
    const { wrong, runs, declined } = await call(page, "sums", 90);
    expect(wrong).toBe(0);
    expect(runs).toBeGreaterThan(4);
    expect(declined).toBe("binary (larger than a texture of 64²)");
    await call(page, "open", { kind: "gpujs", runs: 2 }, inject("fcSeed"));
    for (const name of ["binary/add", "matmul", "softmax", "attention"]) await call(page, "runCase", name);
    await call(page, "close");
  });

  test("a lost context is an error that says so", async () => {
    const page = await chromium.page("/not-isolated");
    expect(await call(page, "readAfterLoss")).toMatch(/^DeviceLostError: gpujs: the WebGL2 context must be alive/);
  });
});

test("runs in a worker", { timeout: patience }, async () => {
  const page = await chromium.page("/not-isolated");
  const started = page.waitForEvent("worker");
  await page.evaluate(`new Worker("/suite.js", { type: "module" })`);
  const worker = await started;
  const { info } = await call(worker, "open", { kind: "gpujs", runs: 3 }, inject("fcSeed"));
  expect(info).toMatchObject({ mode: "webgl2" });
  for (const name of ["linear", "softmax"]) await call(worker, "runCase", name);
  await call(worker, "close");
});

test("without WebGL2 opening is an error, and nothing takes its place", { timeout: patience }, async () => {
  const page = await chromium.page("/not-isolated");
  await page.evaluate("OffscreenCanvas.prototype.getContext = () => null");
  const error = await call(page, "refusal", { kind: "gpujs" });
  expect(error).toEqual({
    name: "BackendError",
    message: "gpujs: the browser must have WebGL2, got none; use another backend",
  });
});
