// The exported suite on the gpujs backend in a page of Chromium, on WebGL2, from a bundle that is minified.
import { resolve } from "node:path";
import { cpu } from "qwen-blocks/cpu";
import { conformanceCases } from "qwen-blocks/testing";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { emulatedGl } from "../browser/browser.js";
import { call, launch, type Chromium, type Realm } from "../browser/chromium.js";

const names = conformanceCases(await cpu(), { open: cpu }).map(({ name }) => name);
const patience = 300_000;

let chromium: Chromium;
let page: Realm;
beforeAll(async () => {
  chromium = await launch(emulatedGl, {
    entry: resolve(import.meta.dirname, "gpujs-page.ts"),
    minify: true,
    packages: { "gpu.js": resolve(import.meta.dirname, "node_modules/gpu.js") },
  });
  page = await chromium.page("/not-isolated");
}, patience);
afterAll(() => chromium.close());

test("opens on WebGL2, and says so", { timeout: patience }, async () => {
  const found = await call(page, "open", { kind: "gpujs", runs: 3 }, inject("fcSeed"));
  console.log(found.info);
  expect(found.info).toMatchObject({ mode: "webgl2" });
  expect(found.names).toEqual(names);
});

for (const name of names) test(name, { timeout: patience }, () => call(page, "runCase", name));

test("closes", () => call(page, "close"));
