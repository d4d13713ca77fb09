// `npm run mutants [-- --only TEXT ...]`: applies each wrong change of mutants.json to a scratch copy and runs the tests that can see it. A
// change that no test notices has survived; one that keeps tests from running at all is broken. After either the exit code is 1.
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

interface Mutant {
  /** What the change gets wrong. */
  readonly wrong: string;
  readonly file: string;
  /** Text that stands in the file exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Test files or folders that must notice. */
  readonly tests: readonly string[];
}

type Fate = "killed" | "SURVIVED" | "BROKEN";

const root = resolve(import.meta.dirname, "..");
const copied = [
  "src",
  "test",
  "examples",
  "package.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "tsup.config.ts",
  "vitest.config.ts",
];

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string", multiple: true, default: [""] } } });
  const all = JSON.parse(await readFile(join(root, "test/mutants.json"), "utf8")) as readonly Mutant[];
  const mutants = all.filter(({ wrong, file }) => values.only.some((text) => `${file} ${wrong}`.includes(text)));
  if (mutants.length === 0)
    throw new Error(`no mutant of ${all.length} has "${values.only.join('" or "')}" in its name`);
  const scratch = await mkdtemp(join(tmpdir(), "qwen-blocks-mutants-"));
  try {
    for (const path of copied) await cp(join(root, path), join(scratch, path), { recursive: true });
    await symlink(join(root, "node_modules"), join(scratch, "node_modules"));
    const unchanged = await testsFail(scratch, [...new Set(mutants.flatMap(({ tests }) => tests))]);
    if (unchanged) throw new Error(`the tests must pass without any change:\n${unchanged}`);
    const fates: Fate[] = [];
    for (const mutant of mutants) {
      const fate = await fateOf(scratch, mutant);
      console.log(`${fate.padEnd(8)} ${mutant.file}: ${mutant.wrong}`);
      fates.push(fate);
    }
    const killed = fates.filter((fate) => fate === "killed").length;
    console.log(`${killed} of ${fates.length} killed`);
    return killed === fates.length ? 0 : 1;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function fateOf(scratch: string, { file, find, replace, tests }: Mutant): Promise<Fate> {
  const path = join(scratch, file);
  const text = await readFile(path, "utf8");
  if (text.split(find).length !== 2) return "BROKEN"; // the text must stand there exactly once
  await writeFile(
    path,
    text.replace(find, () => replace),
  );
  try {
    const output = await testsFail(scratch, tests);
    if (output === undefined) return "SURVIVED";
    // A file that no longer loads says nothing about its tests.
    return output.includes("Failed Suites") && !output.includes("Failed Tests") ? "BROKEN" : "killed";
  } finally {
    await writeFile(path, text);
  }
}

/** The output of a run in which a test failed, or nothing. Tests that could not run at all count as failed. */
function testsFail(cwd: string, tests: readonly string[]): Promise<string | undefined> {
  const vitest = join(cwd, "node_modules/vitest/vitest.mjs");
  const child = spawn(process.execPath, [vitest, "run", "--bail=1", ...tests], { cwd, detached: true });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  // A wrong change may never end: the whole group goes, workers included.
  const end = (): void => {
    try {
      process.kill(-(child.pid as number), "SIGKILL");
    } catch {
      // All of it has ended by itself.
    }
  };
  const timer = setTimeout(end, 300_000);
  return new Promise((done) => {
    child.on("exit", (code) => {
      clearTimeout(timer);
      end();
      done(code === 0 ? undefined : Buffer.concat(output).toString());
    });
  });
}

process.exitCode = await main();
