// `npm run conformance -- [--backend B] [--seed N] [--runs M] [--only CASE,CASE] [--path P]`: runs the exported suite against one backend and
// prints a line per case. Exit code 1 if a law is broken.
import { parseArgs } from "node:util";
import { openBackend, type BackendName } from "qwen-blocks/auto";
import { BrokenLaw, conformanceCases } from "qwen-blocks/testing";

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      backend: { type: "string", default: "cpu" },
      seed: { type: "string", default: "1" },
      runs: { type: "string", default: "100" },
      only: { type: "string" },
      path: { type: "string" },
    },
  });
  const { backend, passedOver } = await openBackend({ prefer: values.backend as BackendName });
  if (backend.name !== values.backend) {
    const reasons = passedOver.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
    throw new Error(`--backend: ${values.backend} must open, got ${backend.name} (${reasons})`);
  }
  const options = {
    seed: Number(values.seed),
    runs: Number(values.runs),
    only: values.only?.split(","),
    path: values.path,
  };
  let broken = 0;
  const cases = conformanceCases(backend, options);
  for (const { name, run } of cases) {
    const start = performance.now();
    const problem = await run().then(
      () => undefined,
      (error: unknown) => report(error, name, backend.name, options.seed),
    );
    if (problem !== undefined) broken++;
    console.log(
      `${problem === undefined ? "ok    " : "BROKEN"} ${name.padEnd(32)} ${(performance.now() - start).toFixed(0)} ms`,
    );
    if (problem !== undefined) console.log(problem.replace(/^/gm, "       "));
  }
  console.log(
    `${backend.name}, seed ${options.seed}, ${options.runs} calls per op: ${cases.length - broken} of ${cases.length} cases hold`,
  );
  await backend[Symbol.asyncDispose]();
  return broken === 0 ? 0 : 1;
}

/** What went wrong, and the command that shows it again. */
function report(error: unknown, name: string, backend: string, seed: number): string {
  const drawn = error instanceof BrokenLaw ? ` --path ${error.again.path}` : "";
  const command = `npm run conformance -- --backend ${backend} --seed ${seed} --only ${name}${drawn}`;
  return `${error instanceof Error ? error.message : String(error)}\nor: ${command}`;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 1;
});
