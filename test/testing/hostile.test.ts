// The oracle's bounds hold for arithmetic that is as wrong as a profile allows, whatever is composed of it.
import { describe, inject, test } from "vitest";
import { conformanceCases } from "../../src/testing/conformance.js";
import { hostile } from "./hostile.js";

describe.each(["ieee", "wgsl"] as const)("%s", async (accuracy) => {
  const backend = await hostile(accuracy);
  for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), runs: 6 })) test(name, run, 120_000);
});
