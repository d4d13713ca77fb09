import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";
import type { Reporter, TestModule } from "vitest/node";

/** Folders of test/ that need more than Node 20. A plain `npm test` leaves them out and prints this; `vitest run --mode NAME` runs that one alone. */
const groups: Readonly<Record<string, string>> = {
  browser: "test/browser: the wasm backend in Chromium; npm run test:browser",
  relaxed: "test/relaxed: the wasm backend with relaxed SIMD; npx vitest run --mode relaxed, in Node 22 or newer",
  gpu: "test/gpu: the webgpu backend in Node and in Chromium, on a GPU or an emulated one; npm run test:gpu",
};

/** What `availableBackends` decides the backends of; run alone, the gpu group is about webgpu there too. */
const overBackends = ["test/laws/*.test.ts", "test/golden/*.test.ts", "test/models/decode-step.test.ts"];

const defaultSeed = 20250807;
const fcSeed = Number(process.env.FC_SEED ?? defaultSeed);
if (!Number.isInteger(fcSeed)) throw new Error(`FC_SEED must be an integer, got ${process.env.FC_SEED}`);

/** `qwen-blocks/cpu` and its like stand for source files; the one list of them is `paths` in tsconfig.json. */
const tsconfig = JSON.parse(readFileSync(resolve(import.meta.dirname, "tsconfig.json"), "utf8")) as {
  compilerOptions: { paths: Record<string, [string]> };
};
export const alias = Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => ({
  find: new RegExp(`^${name}$`),
  replacement: resolve(import.meta.dirname, file),
}));

/** Says which seed the drawn inputs came from, and what did not run. */
class Summary implements Reporter {
  readonly #leftOut: readonly string[];

  constructor(leftOut: readonly string[]) {
    this.#leftOut = leftOut;
  }
  onInit(): void {
    console.log(`fast-check seed ${fcSeed} (set FC_SEED to change it)`);
  }
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) =>
      [...module.children.allTests("skipped")].map((test) => {
        const result = test.result();
        return `${test.fullName}: ${(result.state === "skipped" && result.note) || "no reason given"}`;
      }),
    );
    const all = [...this.#leftOut, ...skipped];
    console.log(all.length === 0 ? "\nLeft out: nothing" : `\nLeft out:\n${all.map((line) => `  ${line}`).join("\n")}`);
  }
}

export default defineConfig(({ mode }) => {
  const alone = mode in groups;
  const gpu = mode === "gpu";
  return {
    resolve: { alias },
    test: {
      include: [alone ? `test/${mode}/*.test.ts` : "test/**/*.test.ts", ...(gpu ? overBackends : [])],
      exclude: alone ? [] : Object.keys(groups).map((name) => `test/${name}/**`),
      globalSetup: ["test/assembly.ts", ...(gpu ? ["test/gpu/adapter.ts"] : [])],
      setupFiles: ["test/setup.ts"],
      // One process for all files, and one file at a time: each brings a GPU, and an emulated one has every core.
      ...(gpu ? { fileParallelism: false, isolate: false } : {}),
      provide: { fcSeed, mode },
      testTimeout: gpu ? 300_000 : 60_000,
      reporters: ["default", new Summary(alone ? [] : Object.values(groups)), ...(process.env.CI ? ["json"] : [])],
      outputFile: { json: `out/${alone ? `${mode}-` : ""}test-results.json` },
    },
  };
});
