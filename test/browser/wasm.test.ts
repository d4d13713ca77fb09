// The exported suite on the wasm backend in Chromium: with threads, without, and in a worker; and what page policies do to it.
import { cpu } from "qwen-blocks/cpu";
import { conformanceCases } from "qwen-blocks/testing";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { call, launch, type Chromium, type Path, type Realm } from "./chromium.js";
import type { Options } from "./suite.js";

const names = conformanceCases(await cpu(), { open: cpu }).map(({ name }) => name);
const patience = 300_000;

let chromium: Chromium;
beforeAll(async () => {
  chromium = await launch();
}, patience);
afterAll(() => chromium.close());

/** A module worker of a page, in which the suite then runs. */
async function workerOf(path: Path): Promise<Realm> {
  const page = await chromium.page(path);
  const opened = page.waitForEvent("worker");
  await page.evaluate(`new Worker("/suite.js", { type: "module" })`);
  return opened;
}

interface Setting {
  readonly name: string;
  readonly options: Options;
  /** Workers of the backend. */
  readonly workers: number;
  readonly info: Readonly<Record<string, unknown>>;
  realm(): Promise<Realm>;
}

const settings: readonly Setting[] = [
  {
    name: "an isolated page, two threads",
    options: { threads: 2 },
    workers: 1,
    info: { threads: 2, build: "relaxed" },
    realm: () => chromium.page("/isolated"),
  },
  {
    name: "a page that is not isolated",
    options: {},
    workers: 0,
    info: { threads: 1, build: "relaxed", whyNotMoreThreads: "the page is not cross-origin isolated" },
    realm: () => chromium.page("/not-isolated"),
  },
  {
    name: "a worker of an isolated page, simd128, two threads",
    options: { threads: 2, build: "simd128" },
    workers: 1,
    info: { threads: 2, build: "simd128" },
    realm: () => workerOf("/isolated"),
  },
];

for (const { name, options, workers, info, realm } of settings) {
  describe(name, () => {
    let opened: Realm;
    let before: number;

    test("opens, and says what it has", { timeout: patience }, async () => {
      opened = await realm();
      before = await chromium.workers();
      const found = await call(opened, "open", options, inject("fcSeed"));
      expect(found.info).toMatchObject(info);
      expect(found.names).toEqual(names);
      expect(await chromium.workers()).toBe(before + workers);
    });

    for (const one of names) test(one, { timeout: patience }, () => call(opened, "runCase", one));

    test("closing ends the workers", { timeout: patience }, async () => {
      await call(opened, "close");
      await expect.poll(() => chromium.workers(), { timeout: 30_000 }).toBe(before);
    });
  });
}

describe("a page's policy", { timeout: patience }, () => {
  test.each<[string, Path, Options, string]>([
    ["isolation", "/not-isolated", { threads: 2 }, "wasm: 2 threads need a cross-origin isolated page"],
    ["workers from blobs", "/no-blob-workers", { threads: 2 }, 'allow "worker-src blob:" or pass wasm({ worker })'],
    ["a worker file that is not there", "/isolated", { threads: 2, workerFile: "/none.js" }, "holds workerSource"],
    ["WebAssembly", "/no-wasm", { threads: 1 }, "add 'wasm-unsafe-eval' to its script-src"],
  ])("that lacks %s makes opening fail by a named error", async (_, path, options, message) => {
    const before = await chromium.workers();
    const error = await call(await chromium.page(path), "refusal", options);
    expect(error.name).toBe("BackendError");
    expect(error.message).toContain(message);
    await expect.poll(() => chromium.workers(), { timeout: 30_000 }).toBe(before);
  });

  test.each<[string, Path, Options]>([
    ["as strict as the documentation says", "/strict", { threads: 2 }],
    ["against workers from blobs, given a worker", "/no-blob-workers", { threads: 2, workerFile: "/worker.js" }],
    ["against workers from blobs, on one thread", "/no-blob-workers", { threads: 1 }],
  ])("%s lets it work", async (_, path, options) => {
    const page = await chromium.page(path);
    const { info } = await call(page, "open", options, inject("fcSeed"));
    expect(info.threads).toBe(options.threads);
    for (const one of ["fill", "linear", "backend/closing"]) await call(page, "runCase", one);
    await call(page, "close");
  });
});
