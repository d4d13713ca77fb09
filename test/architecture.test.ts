// Reads the imports of every source file and holds them against the layering of docs/architecture.md.
import { readdirSync, readFileSync } from "node:fs";
import { posix, resolve, sep } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

/** What each part of src may import besides itself: parts, single files, or "type" and a file for its types only. */
const contract = "backends/backend.ts";
const contractTypes = `type ${contract}`;
const layering: Record<string, readonly string[]> = {
  core: [],
  "quant/schemes": ["core"],
  backends: ["core"],
  "backends/cpu": ["core", "quant/schemes", "backends"],
  "backends/wasm": ["core", "quant/schemes", "backends"],
  "backends/webgpu": ["core", "quant/schemes", "backends"],
  "backends/gpujs": ["core", "quant/schemes", "backends", "backends/cpu"],
  tensor: ["core", "quant/schemes", contract],
  ops: ["core", "quant/schemes", contractTypes, "tensor"],
  autograd: ["core", contractTypes, "tensor", "ops"],
  routing: ["core", contractTypes, "tensor", "ops"],
  layers: ["core", contractTypes, "tensor", "ops", "routing"],
  attention: ["core", "quant/schemes", contractTypes, "tensor", "ops", "layers"],
  quant: ["core", "quant/schemes", contractTypes, "tensor", "ops", "autograd", "layers"],
  io: ["core", "quant/schemes", "tensor", "layers"],
  models: "core quant/schemes backends tensor ops autograd routing layers attention quant io".split(" "),
  train: ["core", contractTypes, "tensor", "ops", "autograd", "layers", "routing"],
  testing: "core quant/schemes backends tensor ops autograd attention routing".split(" "),
  "auto.ts": "core backends backends/cpu backends/wasm backends/webgpu backends/gpujs".split(" "),
  "index.ts": "core quant/schemes backends tensor ops autograd routing layers attention models".split(" "),
};

/** Packages a part may import; the main entry reaches none. A name ending in ":" allows the whole scheme. */
const packages: Record<string, readonly string[]> = { testing: ["fast-check"], "backends/gpujs": ["gpu.js"] };

/** Files over 300 lines, each a single idea, with the reason. At most five. */
const longFiles: Record<string, string> = {};

/** AssemblyScript, whose imports name files without an ending. */
const isAssembly = (path: string): boolean => path.startsWith("backends/wasm/assembly/");

interface Import {
  readonly from: string; // as written
  readonly to: string | undefined; // the file under src, undefined for a package
  readonly kind: "value" | "type" | "dynamic";
}

function layerOf(path: string): string | undefined {
  const [, layer] = /^((?:backends|quant)\/(?=[^/]+\/)[^/]+|[^/]+)/.exec(path) ?? [];
  return layer !== undefined && Object.hasOwn(layering, layer) ? layer : undefined;
}

function parse(path: string, text: string): { imports: Import[]; usesAny: boolean; onlyReexports: boolean } {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022);
  const imports: Import[] = [];
  let usesAny = false;
  const add = (specifier: ts.Node | undefined, kind: Import["kind"]): void => {
    // A package whose types may be absent is imported as `"name" satisfies string`.
    if (specifier && ts.isSatisfiesExpression(specifier)) specifier = specifier.expression;
    if (!specifier || !ts.isStringLiteralLike(specifier)) return;
    const from = specifier.text;
    const ending = isAssembly(path) ? /$/ : /\.js$/;
    const to = from.startsWith(".") ? posix.join(posix.dirname(path), from).replace(ending, ".ts") : undefined;
    imports.push({ from, to, kind });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node))
      add(node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword ? "type" : "value");
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly ? "type" : "value");
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, "type");
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], "dynamic");
    usesAny ||= node.kind === ts.SyntaxKind.AnyKeyword;
    ts.forEachChild(node, visit);
  };
  visit(source);
  const onlyReexports = source.statements.every((s) => ts.isExportDeclaration(s) && s.moduleSpecifier);
  return { imports, usesAny, onlyReexports };
}

/** All violations in a tree of sources, given as path below src -> text. */
function check(files: ReadonlyMap<string, string>): { modules: number; imports: number; violations: string[] } {
  const graph = new Map<string, Import[]>();
  const violations: string[] = [];
  const fail = (path: string, why: string): number => violations.push(`${path}: ${why}`);
  for (const [path, text] of files) {
    const { imports, usesAny, onlyReexports } = parse(path, text);
    graph.set(path, imports);
    const layer = layerOf(path);
    if (!layer) fail(path, "belongs to no row of the layering table");
    if (!/^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*\.ts$/.test(path)) fail(path, "name is not kebab-case");
    if (/(^|\/)(utils?|helpers?|common|misc|types)\.ts$/.test(path)) fail(path, "name says nothing");
    if (usesAny) fail(path, "uses `any`");
    if (/\b(TODO|FIXME|XXX)\b/.test(text)) fail(path, "contains a TODO");
    const lines = text.trimEnd().split("\n").length;
    if (lines > 300 !== path in longFiles) fail(path, `has ${lines} lines; the limit and its exceptions disagree`);
    if (/(^|\/)index\.ts$/.test(path) && !layer?.startsWith("backends/") && !onlyReexports)
      fail(path, "an index may only re-export");
    const [, op] = /^backends\/[^/]+\/kernels\/(.+)$/.exec(path) ?? [];
    if (op !== undefined && !files.has(`ops/${op}`)) fail(path, `has no op of the same name, ops/${op}`);
    for (const { from, to, kind } of imports) {
      const edge = `${path} -> ${to ?? from}`;
      const target = to === undefined ? undefined : layerOf(to);
      const allowed = layering[layer ?? ""] ?? [];
      if (to === undefined) {
        const named = packages[layer ?? ""]?.some((p) => from === p || (p.endsWith(":") && from.startsWith(p)));
        if (!named) fail(edge, `${layer} may not import this package`);
      } else if (from.endsWith(".js") === isAssembly(path) || !files.has(to)) {
        fail(edge, `no such file; relative imports name it with the ending .js`);
      } else if (to === "index.ts" || to === "auto.ts") {
        fail(edge, "nobody imports this entry");
      } else if (target !== layer && !allowed.includes(target ?? "") && !allowed.includes(to)) {
        if (!allowed.includes(`type ${to}`)) fail(edge, `${layer} may not import ${target}`);
        else if (kind !== "type") fail(edge, `${layer} may import only types from it`);
      } else if (layer === "auto.ts" && target?.startsWith("backends/") && kind !== "dynamic") {
        fail(edge, "a backend is imported dynamically here");
      } else if (to.endsWith("/index.ts") && path !== "index.ts" && path !== "auto.ts") {
        fail(edge, "import the file, not the index");
      }
    }
  }
  for (const cycle of cycles(graph)) fail(cycle, "is a cycle");
  for (const path of reach(graph, "index.ts"))
    for (const { from, to } of graph.get(path) ?? [])
      if (to === undefined) fail(`${path} -> ${from}`, "the main entry reaches a package");
  for (const path of Object.keys(longFiles)) if (!files.has(path)) fail(path, "is listed as long but does not exist");
  if (Object.keys(longFiles).length > 5) fail("longFiles", "has more than five entries");
  return { modules: graph.size, imports: [...graph.values()].flat().length, violations };
}

function reach(graph: ReadonlyMap<string, Import[]>, start: string): Set<string> {
  const seen = new Set([start]);
  for (const path of seen) for (const { to } of graph.get(path) ?? []) if (to !== undefined) seen.add(to);
  return seen;
}

function cycles(graph: ReadonlyMap<string, Import[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (done.has(path)) return;
    done.add(path);
    for (const { to } of graph.get(path) ?? []) if (to !== undefined) walk(to, [...trail, path]);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
}

test("src keeps to the architecture", () => {
  const root = resolve(import.meta.dirname, "../src");
  const names = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
  const files = new Map(names.map((n) => [n.split(sep).join("/"), readFileSync(resolve(root, n), "utf8")]));
  const { modules, imports, violations } = check(files);
  console.log(`architecture: ${modules} modules, ${imports} imports`);
  expect(violations).toEqual([]);
  expect(names.length).toBeGreaterThan(0);
  expect(modules).toBe(names.length);
  expect(imports).toBeGreaterThan(0);
});

describe("the checker itself fails on", () => {
  const use = (from: string): string => `import { a } from "${from}";`;
  test.each<[string, Record<string, string>, string]>([
    ["an upward import", { "core/a.ts": use("../ops/b.js"), "ops/b.ts": "" }, "core/a.ts -> ops/b.ts: core may not"],
    ["a backend outside", { "ops/a.ts": use("../backends/cpu/b.js"), "backends/cpu/b.ts": "" }, "may not import back"],
    ["a type cycle", { "ops/a.ts": 'import type { B } from "./b.js";', "ops/b.ts": use("./a.js") }, "is a cycle"],
    [
      "a value from the contract",
      { "ops/a.ts": use("../backends/backend.js"), "backends/backend.ts": "" },
      "only types",
    ],
    ["a static import in auto", { "auto.ts": use("./backends/cpu/b.js"), "backends/cpu/b.ts": "" }, "dynamically"],
    ["a package", { "io/a.ts": 'export const f = () => import("node:fs");' }, "io/a.ts -> node:fs: io may not"],
    [
      "a reached package",
      { "index.ts": 'export * from "./core/a.js";', "core/a.ts": use("zod") },
      "main entry reaches",
    ],
    ["a missing ending", { "core/a.ts": use("./b"), "core/b.ts": "" }, "ending .js"],
    ["an inner index", { "io/a.ts": use("./index.js"), "io/index.ts": 'export * from "./a.js";' }, "not the index"],
    ["logic in an index", { "io/index.ts": "export const a = 1;" }, "may only re-export"],
    ["an unknown part", { "backends/metal/a.ts": "" }, "backends/metal/a.ts: belongs to no row"],
    ["a bad name", { "core/topK.ts": "" }, "kebab-case"],
    ["an empty name", { "core/utils.ts": "" }, "says nothing"],
    ["a nameless kernel", { "backends/cpu/kernels/a.ts": "" }, "has no op of the same name, ops/a.ts"],
    ["any", { "core/a.ts": "export const a = 1 as any;" }, "uses `any`"],
    ["an open end", { "core/a.ts": "// TODO" }, "contains a TODO"],
    ["a long file", { "core/a.ts": "//\n".repeat(301) }, "has 301 lines"],
  ])("%s", (_, files, message) => {
    expect(check(new Map(Object.entries(files))).violations.join("\n")).toContain(message);
  });
});
