// `npm run gpu`: everything that wants to be known about a real GPU, in one go. Each part has a process of its own, so that one that breaks
// keeps no other from running; what they print and return goes into out/gpu.
import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Part, VisitOptions } from "./measure/step.js";

const parts = {
  probe: async () => (await import("./measure/probe.js")).probe,
  suite: async () => (await import("./measure/suite.js")).suite,
  decode: async () => (await import("./measure/decode.js")).decode,
  ops: async () => (await import("./measure/ops.js")).ops,
  sweep: async () => (await import("./measure/ops.js")).sweep,
} satisfies Record<string, () => Promise<Part>>;
type PartName = keyof typeof parts;

const usage = `Probes a GPU, runs the suite on it, decodes with Qwen3-15B-A2B, and measures ops, one part after the other.

  npm ci && npm ci --prefix test/gpu --ignore-scripts
  npm run gpu -- [options]

  --only PART   ${Object.keys(parts).join(", ")}; may be repeated, all unless given
  --scale S     the model at S times its widths, depth and vocabulary; 1 unless given, which takes 9 GB of the device's memory
  --tokens N    that are decoded; 128 unless given
  --runs N      of each op, of which the median counts; 7 unless given
  --cases N     drawn inputs per case of the suite; 30 unless given
  --size SIZE   of the operands of ops: small or large; by the adapter unless given
  --help        this text

A software adapter: --scale 0.05 --tokens 4 --runs 1 --cases 1`;

const folder = fileURLToPath(new URL("../../out/gpu/", import.meta.url));
const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    part: { type: "string" },
    scale: { type: "string", default: "1" },
    tokens: { type: "string", default: "128" },
    runs: { type: "string", default: "7" },
    cases: { type: "string", default: "30" },
    size: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
if (values.help) console.log(usage);
else if (values.part !== undefined) await runHere(partNamed(values.part));
else await runAll(values.only.length > 0 ? values.only.map(partNamed) : (Object.keys(parts) as PartName[]));

function partNamed(name: string): PartName {
  if (Object.hasOwn(parts, name)) return name as PartName;
  throw new Error(`--only: must be one of ${Object.keys(parts).join(", ")}, got "${name}"`);
}

function optionsOf({ scale, tokens, runs, cases, size }: typeof values): VisitOptions {
  const numbers = { scale: Number(scale), tokens: Number(tokens), runs: Number(runs), cases: Number(cases) };
  for (const [name, value] of Object.entries(numbers))
    if (!(value > 0)) throw new Error(`--${name}: must be a positive number, got ${value}`);
  if (size !== undefined && size !== "small" && size !== "large")
    throw new Error(`--size: must be small or large, got "${size}"`);
  return { ...numbers, ...(size && { size }) };
}

async function runHere(name: PartName): Promise<void> {
  const part = await parts[name]();
  const report = await part(optionsOf(values), (line) => console.log(line));
  writeFileSync(`${folder}${name}.json`, `${JSON.stringify(report, undefined, 2)}\n`);
}

async function runAll(names: readonly PartName[]): Promise<void> {
  optionsOf(values);
  mkdirSync(folder, { recursive: true });
  const broken: string[] = [];
  for (const name of names) {
    console.log(`\n== ${name}`);
    const start = performance.now();
    const reason = await runApart(name);
    if (reason !== undefined) broken.push(`${name} (${reason})`);
    console.log(`== ${name} took ${((performance.now() - start) / 1000).toFixed(0)} s${reason ? `, ${reason}` : ""}`);
  }
  console.log(
    `\n${broken.length === 0 ? "all parts went through" : `broken: ${broken.join(", ")}`}; reports in ${folder}`,
  );
  if (broken.length > 0) process.exitCode = 1;
}

/** @returns what went wrong, if something did */
async function runApart(name: PartName): Promise<string | undefined> {
  const args = [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2), "--part", name];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  const text = createWriteStream(`${folder}${name}.txt`);
  for (const [stream, own] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    stream.on("data", (chunk: Buffer) => {
      own.write(chunk);
      text.write(chunk);
    });
  }
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  text.end();
  return code === 0 ? undefined : `ended with ${signal ?? code}`;
}
