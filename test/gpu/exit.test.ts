// The package in a Node script of its own: with "webgpu" beside it a backend opens by itself, and once it is closed nothing keeps the script alive.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const temp = mkdtempSync(join(tmpdir(), "qwen-blocks-gpu-"));
const patience = 300_000;

beforeAll(() => {
  const unpacked = join(temp, "node_modules/qwen-blocks");
  mkdirSync(unpacked, { recursive: true });
  copyFileSync(join(root, "package.json"), join(unpacked, "package.json"));
  symlinkSync(join(import.meta.dirname, "node_modules/webgpu"), join(temp, "node_modules/webgpu"), "junction");
  const args = ["--silent", "--no-sourcemap", "--out-dir", join(unpacked, "dist")];
  execFileSync(join(root, "node_modules/.bin/tsup"), args, { cwd: root, stdio: "pipe" });
}, patience);
afterAll(() => rmSync(temp, { recursive: true, force: true }));

/** Runs a script; what it printed, and the milliseconds from its last line to its end. */
function run(
  name: string,
  script: string,
): { readonly printed: string[]; readonly code: number | null; readonly exit: number } {
  writeFileSync(join(temp, name), `${script}\nconsole.log(Date.now());`);
  const { stdout, stderr, status } = spawnSync(process.execPath, [name], {
    cwd: temp,
    encoding: "utf8",
    timeout: 120_000,
  });
  const end = Date.now();
  const printed = stdout.trim().split("\n");
  const closed = Number(printed.pop());
  expect(closed, stderr).toBeGreaterThan(0);
  return { printed, code: status, exit: end - closed };
}

test.each([
  ["webgpu", `import { webgpu } from "qwen-blocks/webgpu";\nconst backend = await webgpu();`],
  [
    "auto",
    `import { openBackend } from "qwen-blocks/auto";\nconst { backend } = await openBackend({ prefer: "webgpu" });`,
  ],
])(
  "opened by %s, a script computes and ends by itself within 2 seconds, with code 0",
  { timeout: patience },
  (name, opening) => {
    const { printed, code, exit } = run(
      `${name}.mjs`,
      `import { add, tensor } from "qwen-blocks";
    ${opening}
    console.log(backend.name, await add(tensor(backend, [1]), 2).data());
    await backend[Symbol.asyncDispose]();`,
    );
    expect(printed).toEqual(["webgpu Float32Array(1) [ 3 ]"]);
    expect(code).toBe(0);
    expect(exit).toBeLessThan(2000);
  },
);

test("where auto passes an emulated adapter over, nothing of it is left", { timeout: patience }, () => {
  const { printed, code, exit } = run(
    "passed-over.mjs",
    `import { openBackend } from "qwen-blocks/auto";
    const { backend, passedOver } = await openBackend();
    console.log(backend.name, passedOver.map(({ name }) => name).join());
    await backend[Symbol.asyncDispose]();`,
  );
  // On a real GPU there is nothing to pass over.
  expect(["webgpu ", "wasm webgpu"]).toContain(printed.join());
  expect(code).toBe(0);
  expect(exit).toBeLessThan(2000);
});

test(
  "a script that leaves it open, with results nobody waits for, still ends when it says so",
  { timeout: patience },
  () => {
    const { code } = run(
      "open.mjs",
      `import { add, tensor } from "qwen-blocks";
    import { webgpu } from "qwen-blocks/webgpu";
    const backend = await webgpu();
    add(tensor(backend, [1]), 2);
    setTimeout(() => process.exit(0), 500);`,
    );
    expect(code).toBe(0);
  },
);
