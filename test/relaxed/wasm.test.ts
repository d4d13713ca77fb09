// The relaxed SIMD build of the wasm backend, which needs an engine newer than that of Node 20: the exported suite, and the golden folders.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { conformanceCases } from "qwen-blocks/testing";
import { wasm } from "qwen-blocks/wasm";
import { afterAll, describe, expect, inject, test } from "vitest";
import { compare } from "../golden/compare.js";
import { compute } from "../golden/computed.js";
import { readFixture } from "../golden/fixture.js";

const open = () => wasm({ build: "relaxed", threads: 2 });
const backend = await open();
afterAll(() => backend[Symbol.asyncDispose]());

test("two threads of the relaxed build", () => expect(backend.info).toMatchObject({ build: "relaxed", threads: 2 }));

describe("suite", () => {
  for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), open })) test(name, run);
});

const golden = resolve(import.meta.dirname, "../golden");
const folders = readdirSync(golden, { withFileTypes: true }).filter((entry) => entry.isDirectory());
test.each(folders.map(({ name }) => name))("%s agrees with transformers", async (name) => {
  const fixture = await readFixture(resolve(golden, name));
  expect(compare(fixture, await compute(backend, fixture)).filter(({ passed }) => !passed)).toEqual([]);
});
