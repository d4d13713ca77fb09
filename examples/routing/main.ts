// Five routers on one text: trains a small decoder with each and writes a report of what they did. About a minute.
//   npx tsx examples/routing/main.ts [--steps N] [--out DIR] [--text FILE]
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openBackend } from "qwen-blocks/auto";
import { writeFileAtomic } from "qwen-blocks/io";
import { integer } from "../train-toy/options.js";
import { checkLength, readText } from "../train-toy/text.js";
import { reportPage } from "./report.js";
import { compareRouters, recipe } from "./run.js";

const {
  steps,
  out,
  text: files,
} = parseArgs({
  options: {
    steps: { type: "string", default: String(recipe.steps) },
    out: { type: "string", default: "out" },
    text: { type: "string", multiple: true, default: [] },
  },
}).values;
const chosen = { ...recipe, steps: integer("--steps", steps, 1) };
const text = readText(files);
checkLength(text, chosen.contextLength);

const { backend } = await openBackend();
console.log(`Learning from ${text.name}, ${chosen.steps} steps with each router, backend ${backend.name}.`);
const runs = await compareRouters(backend, text, chosen, console.log);
mkdirSync(out, { recursive: true });
const path = join(out, "routing.html");
await writeFileAtomic(path, new TextEncoder().encode(reportPage(runs, text, chosen)));
console.log(`Report: ${path}`);
await backend[Symbol.asyncDispose]();
