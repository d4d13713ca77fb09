// `npm run bench`: how fast it is, for people or, with --json, for programs. It judges nothing.
import { readOptions, usage, type BenchOptions } from "./options.js";

try {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") console.log(usage);
  else await bench(options);
} catch (error) {
  if (!(error instanceof Error && "code" in error)) throw error;
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}

async function bench(options: BenchOptions): Promise<void> {
  const measure = await measurementOf(options);
  const report = await measure(options, options.json ? () => {} : (line) => console.log(line));
  if (options.json) console.log(JSON.stringify(report, undefined, 2));
}

type Measure = (options: BenchOptions, print: (line: string) => void) => Promise<object>;

async function measurementOf(options: BenchOptions): Promise<Measure> {
  const { peers, gpuPeers, llama, python, scaling, replay, packed, caches, gpujs, ops } = options;
  if (peers !== undefined) return (await import("./compare-products.js")).compareProducts;
  if (gpuPeers !== undefined) return (await import("./compare-gpu.js")).compareGpu;
  if (llama !== undefined) return (await import("./compare-files.js")).compareFiles;
  if (python !== undefined) return (await import("./compare-models.js")).compareModels;
  if (scaling) return (await import("./measure-scaling.js")).measureScaling;
  if (replay) return (await import("./measure-replay.js")).measureReplay;
  if (ops) return (await import("./measure-ops.js")).measureOps;
  if (gpujs) return (await import("./compare-in-page.js")).compareInPage;
  if (caches) return (await import("./measure-caches.js")).measureCaches;
  if (packed) return (await import("./measure-packed.js")).measurePacked;
  return (await import("./measure-phases.js")).measurePhases;
}
