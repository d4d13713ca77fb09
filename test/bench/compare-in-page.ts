// `--gpujs`: the gpujs backend beside the others, all in pages of Chromium, on the GPU that Chromium emulates.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigError } from "qwen-blocks";
import { emulatedGl, emulatedGpu } from "../browser/browser.js";
import { call, launch } from "../browser/chromium.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import type { BenchOptions } from "./options.js";

const gpuJs = resolve(import.meta.dirname, "../gpu/node_modules/gpu.js");
const kinds = ["cpu", "wasm", "gpujs", "webgpu"] as const;

export async function compareInPage({ runs }: BenchOptions, print: (line: string) => void): Promise<object> {
  if (!existsSync(gpuJs)) {
    throw new ConfigError(
      '--gpujs: the package "gpu.js" must be installed in test/gpu; npm ci --prefix test/gpu --ignore-scripts --omit=optional',
    );
  }
  const entry = resolve(import.meta.dirname, "page-speeds.ts");
  const bundled = { entry, minify: false, packages: { "gpu.js": gpuJs } };
  const chromium = await launch([...emulatedGl, ...emulatedGpu], bundled);
  const facts = { library: libraryVersion(), machine: machineFacts() };
  print(
    `qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}\nmilliseconds of a call, medians of ${runs}\n`,
  );
  const results: Record<string, Readonly<Record<string, number>>> = {};
  try {
    for (const kind of kinds) {
      const page = await chromium.page("/isolated");
      const { info } = await call(page, "open", { kind }, 1);
      const { adapter = "", mode = "", threads = "" } = info;
      print(`${kind.padEnd(10)}${[mode, adapter, threads].filter((part) => part !== "").join(", ")}`);
      results[kind] = await call(page, "speeds", runs);
      for (const [name, time] of Object.entries(results[kind])) {
        print(`  ${name.padEnd(34)}${time.toFixed(1).padStart(10)}`);
      }
      await page.close();
    }
  } finally {
    await chromium.close();
  }
  return { ...facts, results };
}
