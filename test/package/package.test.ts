// The package as a consumer gets it: built and laid out once, away from the sources, then imported and required.
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const { exports } = readJson(join(root, "package.json")) as {
  exports: Record<string, string | { types: string; default: string }>;
};
interface Tsconfig {
  compilerOptions: { paths: Record<string, string[]> };
}
/** `./cpu` -> where its types and its code lie. */
const entries = Object.entries(exports).filter((entry) => typeof entry[1] !== "string") as [
  string,
  { types: string; default: string },
][];
const nameOf = (subpath: string): string => subpath.replace(".", "qwen-blocks");

/** Compressed bytes that the main entry may load, all its chunks together. */
const mainBudget = 80 * 1024;

const temp = mkdtempSync(join(tmpdir(), "qwen-blocks-"));
const unpacked = join(temp, "node_modules/qwen-blocks");

beforeAll(() => {
  const bin = (name: string, ...args: string[]): void => {
    const path = join(root, "node_modules/.bin", name);
    execFileSync(path, args, { cwd: root, stdio: "pipe", shell: process.platform === "win32" });
  };
  mkdirSync(unpacked, { recursive: true });
  copyFileSync(join(root, "package.json"), join(unpacked, "package.json"));
  for (const peer of ["fast-check", "pure-rand"])
    symlinkSync(join(root, "node_modules", peer), join(temp, "node_modules", peer), "junction");
  bin("tsup", "--silent", "--out-dir", join(unpacked, "dist"));
  bin("tsc", "-p", "tsconfig.build.json", "--outDir", join(unpacked, "dist/types"));
}, 300_000);

afterAll(() => rmSync(temp, { recursive: true, force: true }));

/** A built file and everything it loads, as paths below dist. Names in `outside` are not relative. */
function closure(entry: string): { files: Set<string>; outside: Set<string> } {
  const files = new Set([entry]);
  const outside = new Set<string>();
  for (const file of files)
    for (const { fileName } of ts.preProcessFile(readFileSync(join(unpacked, file), "utf8")).importedFiles)
      if (fileName.startsWith(".")) files.add(join(dirname(file), fileName));
      else outside.add(fileName);
  return { files, outside };
}

test("package.json, tsconfig.json and typedoc.json name the same entries", () => {
  const { paths } = (readJson(join(root, "tsconfig.json")) as Tsconfig).compilerOptions;
  const declared = entries.map(([subpath, { types }]) => [
    nameOf(subpath),
    [types.replace("./dist/types/", "./src/").replace(".d.ts", ".ts")],
  ]);
  expect(Object.fromEntries(declared)).toEqual(paths);
  const { entryPoints } = readJson(join(root, "typedoc.json")) as { entryPoints: string[] };
  expect(entryPoints.map((file) => [`./${file}`])).toEqual(Object.values(paths));
});

test("every entry works through import and through require", () => {
  const script = `
    import { createRequire } from "node:module";
    const require = createRequire(import.meta.url);
    const names = ${JSON.stringify(entries.map(([subpath]) => nameOf(subpath)))};
    const found = {};
    for (const name of names) {
      const required = require(name);
      const imported = await import(name);
      found[name] = { names: Object.keys(imported).length, same: Object.keys(imported).every((k) => imported[k] === required[k]) };
    }
    console.log(JSON.stringify(found));`;
  writeFileSync(join(temp, "load.mjs"), script);
  const output = execFileSync(process.execPath, ["--no-warnings", "load.mjs"], { cwd: temp, encoding: "utf8" });
  const found = JSON.parse(output) as Record<string, { names: number; same: boolean }>;
  expect(Object.keys(found)).toHaveLength(entries.length);
  for (const [name, { names, same }] of Object.entries(found)) {
    expect(names, `${name} exports nothing`).toBeGreaterThan(0);
    expect(same, `${name} differs between import and require`).toBe(true);
  }
});

/** Neither the DOM's types nor those of WebGPU are needed for webgpu; files and signals of the other entries are the DOM's. */
const consumers: readonly [string, readonly string[], readonly string[]][] = [
  ["all entries and the DOM", entries.map(([subpath]) => subpath), ["lib.dom.d.ts"]],
  ["webgpu and nothing but the language", ["./webgpu"], []],
];
test.each(consumers)("the types compile for a consumer of %s, declarations included", (_, subpaths, dom) => {
  const uses = subpaths.map(
    (subpath, i) => `import * as m${i} from "${nameOf(subpath)}";\nexport const n${i}: object = m${i};`,
  );
  writeFileSync(join(temp, "consumer.mts"), uses.join("\n"));
  const options: ts.CompilerOptions = {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts", ...dom],
    types: [],
    skipDefaultLibCheck: true,
    strict: true,
    noEmit: true,
  };
  const program = ts.createProgram([join(temp, "consumer.mts")], options);
  const problems = ts.getPreEmitDiagnostics(program);
  expect(problems.map((p) => `${p.file?.fileName}: ${ts.flattenDiagnosticMessageText(p.messageText, "\n")}`)).toEqual(
    [],
  );
});

test("without the package webgpu, auto passes it over in Node and says what to install", () => {
  const script = `
    import { openBackend } from "qwen-blocks/auto";
    const { backend, passedOver } = await openBackend();
    console.log(JSON.stringify([backend.name, passedOver]));
    await backend[Symbol.asyncDispose]();`;
  writeFileSync(join(temp, "auto.mjs"), script);
  const output = execFileSync(process.execPath, ["--no-warnings", "auto.mjs"], { cwd: temp, encoding: "utf8" });
  const [name, passedOver] = JSON.parse(output) as [string, { name: string; reason: string }[]];
  expect(name).toBe("wasm");
  expect(passedOver).toHaveLength(1);
  expect(passedOver[0].reason).toContain('the package "webgpu" must be installed');
});

test("only webgpu, and auto when it opens that, load shaders; nothing imports the package webgpu by a name to follow, and gpujs alone gpu.js", () => {
  for (const [subpath, { default: entry }] of entries) {
    const { files, outside } = closure(entry);
    const text = [...files].map((file) => readFileSync(join(unpacked, file), "utf8")).join("\n");
    const dynamic = subpath === "./webgpu" || subpath === "./auto";
    expect(/@compute|var<storage/.test(text), subpath).toBe(dynamic);
    expect([...outside], subpath).not.toContain("webgpu");
    expect(outside.has("gpu.js"), subpath).toBe(subpath === "./gpujs");
  }
});

test("no source module is in two chunks, so all entries share one scope stack", () => {
  const places = new Map<string, string[]>();
  for (const map of readdirSync(join(unpacked, "dist")).filter((name) => name.endsWith(".js.map")))
    for (const source of (readJson(join(unpacked, "dist", map)) as { sources: string[] }).sources)
      places.set(source, [...(places.get(source) ?? []), map]);
  expect(places.size).toBeGreaterThan(0);
  expect([...places].filter(([, maps]) => maps.length > 1)).toEqual([]);
});

test("the main entry loads nothing from outside and stays within its budget", () => {
  const { files, outside } = closure(entries.find(([subpath]) => subpath === ".")![1].default);
  expect([...outside]).toEqual([]);
  const bytes = [...files].reduce((sum, file) => sum + gzipSync(readFileSync(join(unpacked, file))).length, 0);
  console.log(`package: the main entry is ${(bytes / 1024).toFixed(1)} KiB compressed, in ${files.size} files`);
  expect(bytes).toBeLessThan(mainBudget);
});
