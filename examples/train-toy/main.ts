// `npm start`: trains a toy mixture of experts on real text and shows what its blocks do. This file is the command line; run.ts is the run.
import { ConfigError } from "qwen-blocks";
import { readOptions, usage } from "./options.js";
import { trainToy } from "./run.js";

const interrupt = new AbortController();
// Every further signal is taken too: a terminal sends Ctrl-C to npm and to this process, and npm passes it on.
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => interrupt.abort());

try {
  const options = readOptions(process.argv.slice(2));
  if (options === "help") console.log(usage);
  else await trainToy(options, { signal: interrupt.signal, print: console.log });
} catch (error) {
  if (!(error instanceof Error && "code" in error)) throw error;
  console.error(`${error.name}: ${error.message}`);
  if (error instanceof ConfigError) console.error("See npm start -- --help");
  process.exitCode = 1;
}
