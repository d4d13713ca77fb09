// Compiles assembly/ twice, for SIMD128 and for relaxed SIMD, into ../binaries.ts (not in git). Does nothing where the sources are unchanged.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const output = join(here, "../binaries.ts");
const builds = { simd128: [], relaxed: ["--enable", "relaxed-simd"] };
/** Constants of the code live below the heap, which begins at 64 KiB; the words of scheduler.ts and the command lie below them. */
const options = [
  ..."--runtime stub --importMemory --sharedMemory --initialMemory 1 --maximumMemory 65536 --memoryBase 16384".split(
    " ",
  ),
  ..."--enable simd --enable threads --enable bulk-memory -O3 --converge --noAssert --use abort=".split(" "),
];

export async function buildAssembly() {
  const sources = readdirSync(here).filter((name) => /\.(ts|mjs)$/.test(name));
  const hash = createHash("sha256");
  for (const path of [...sources, "../codes.ts", "../layout.ts"].map((name) => join(here, name)))
    hash.update(readFileSync(path));
  const mark = `// ${hash.digest("hex")}`;
  if (existsSync(output) && readFileSync(output, "utf8").startsWith(mark)) return;
  const { default: asc } = await import("assemblyscript/asc");
  const lines = [mark, "// Written by assembly/build.mjs: one WebAssembly module per build, deflated, in base64."];
  for (const [name, features] of Object.entries(builds)) {
    let binary;
    const { error, stderr } = await asc.main(
      ["index.ts", "--baseDir", here, "--outFile", "module.wasm", ...options, ...features],
      {
        writeFile(file, contents) {
          if (file.endsWith(".wasm")) binary = contents;
        },
      },
    );
    if (error) throw new Error(`assembly: ${error.message}\n${stderr.toString()}`);
    lines.push(`export const ${name}: string = "${deflateRawSync(binary, { level: 9 }).toString("base64")}";`);
  }
  writeFileSync(`${output}.new`, `${lines.join("\n")}\n`);
  renameSync(`${output}.new`, output);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAssembly();
