// One trained model in every format: bits, size, loss, agreement and speed, as a table and a page. Run `npm start` first; the longer run
// that this trains beside it takes some ten minutes, once.
//   npx tsx examples/quantize/main.ts [--out DIR]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openBackend } from "qwen-blocks/auto";
import { writeFileAtomic } from "qwen-blocks/io";
import { reportPage } from "./report.js";
import { compareRun, trainLonger } from "./run.js";

/** Of training in few bits. */
const fewBitSteps = 200;

const { out } = parseArgs({ options: { out: { type: "string", default: "out" } } }).values;
const interrupt = new AbortController();
process.once("SIGINT", () => interrupt.abort());
const longer = join(out, "longer");
mkdirSync(longer, { recursive: true });
if (await trainLonger(longer, { signal: interrupt.signal, print: console.log })) {
  const { backend } = await openBackend();
  const comparisons = [
    await compareRun(backend, "Toy", out, fewBitSteps, console.log),
    await compareRun(backend, "Longer-trained", longer, fewBitSteps, console.log),
  ];
  const path = join(out, "quantization.html");
  await writeFileAtomic(path, new TextEncoder().encode(reportPage(comparisons, backend.name)));
  console.log(`\nReport: ${path}`);
  await backend[Symbol.asyncDispose]();
}
