// The exported suite on the webgpu backend in a page of Chromium.
import { cpu } from "qwen-blocks/cpu";
import { conformanceCases } from "qwen-blocks/testing";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { call, launch, type Chromium, type Realm } from "../browser/chromium.js";
import { emulatedGpu } from "../browser/browser.js";

const names = conformanceCases(await cpu(), { open: cpu }).map(({ name }) => name);
const patience = 300_000;

let chromium: Chromium;
let page: Realm;
beforeAll(async () => {
  chromium = await launch(emulatedGpu);
  page = await chromium.page("/not-isolated");
}, patience);
afterAll(() => chromium.close());

test("opens, and says what it has", { timeout: patience }, async () => {
  const found = await call(page, "open", { kind: "webgpu", runs: 5 }, inject("fcSeed"));
  expect(found.info.features).toContain("subgroups");
  expect(found.info.maxBufferBytes).toBeGreaterThanOrEqual(2 ** 27);
  expect(found.names).toEqual(names);
});

for (const name of names) test(name, { timeout: patience }, () => call(page, "runCase", name));

test("closes", () => call(page, "close"));
