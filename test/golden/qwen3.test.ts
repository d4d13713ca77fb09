// The whole model, stage by stage and gradient by gradient, against transformers.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { availableBackends } from "../available-backends.js";
import { compare } from "./compare.js";
import { compute } from "./computed.js";
import { readFixture } from "./fixture.js";

const folders = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) => entry.isDirectory());

test("there are fixtures", () => expect(folders.length).toBeGreaterThanOrEqual(5));

describe.each(availableBackends)("$name", ({ open }) => {
  test.each(folders.map(({ name }) => name))("%s agrees with transformers", async (name) => {
    await using backend = await open();
    const fixture = await readFixture(resolve(import.meta.dirname, name));
    const verdicts = compare(fixture, await compute(backend, fixture));
    expect(verdicts.length).toBeGreaterThan(40);
    expect(verdicts.filter(({ passed }) => !passed)).toEqual([]);
  });
});
