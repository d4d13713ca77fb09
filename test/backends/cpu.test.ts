// The exported suite on the CPU backend.
import { inject, test } from "vitest";
import { cpu } from "../../src/backends/cpu/index.js";
import { conformanceCases } from "../../src/testing/conformance.js";

const backend = await cpu();
for (const { name, run } of conformanceCases(backend, { seed: inject("fcSeed"), open: cpu })) test(name, run, 120_000);
