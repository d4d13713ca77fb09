// `npm run golden -- DIR [--backend B]`: compares a golden folder's numbers with this library's. Exit code 1 if one is wrong.
import { parseArgs } from "node:util";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { compare } from "./compare.js";
import { compute } from "./computed.js";
import { readFixture } from "./fixture.js";

const usage = "usage: npm run golden -- DIR [--backend B]";

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { backend: { type: "string" } } });
  if (positionals.length !== 1) throw new Error(usage);
  const [folder] = positionals;
  const { backend } = await openBackend({ prefer: values.backend as BackendName | undefined });
  const fixture = await readFixture(folder);
  const verdicts = compare(fixture, await compute(backend, fixture));
  for (const { name, passed, difference, allowed } of verdicts) {
    console.log(
      `${passed ? "ok   " : "WRONG"} ${name.padEnd(64)} off by ${difference.toExponential(2)} of ${allowed.toExponential(2)} allowed`,
    );
  }
  const wrong = verdicts.filter(({ passed }) => !passed);
  const first = wrong[0];
  console.log(`${folder} on ${backend.name}: ${verdicts.length - wrong.length} of ${verdicts.length} tensors agree`);
  if (first) console.log(`first wrong: ${first.name}`);
  await backend[Symbol.asyncDispose]();
  return first ? 1 : 0;
}

main().then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  },
);
