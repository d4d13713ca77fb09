// Runs before every test file: one fixed seed for all drawn inputs, so that a red run can be repeated.
import fc from "fast-check";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    fcSeed: number;
    /** Of the run: the group of tests that runs alone. */
    mode: string;
  }
}

fc.configureGlobal({ seed: inject("fcSeed") });
