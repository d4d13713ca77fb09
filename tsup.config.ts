import { readFileSync } from "node:fs";
import { defineConfig } from "tsup";

// One entry per subpath, named after it. The list is `paths` in tsconfig.json, as for vitest and tsx.
const tsconfig = JSON.parse(readFileSync("tsconfig.json", "utf8")) as {
  compilerOptions: { paths: Record<string, [string]> };
};
const entry = Object.fromEntries(
  Object.entries(tsconfig.compilerOptions.paths).map(([name, [file]]) => [name.split("/")[1] ?? "index", file]),
);

export default defineConfig({
  entry,
  format: "esm",
  platform: "neutral",
  target: "es2022",
  splitting: true, // entries share chunks, hence one scope stack and one set of classes
  sourcemap: true,
  clean: true,
  external: [/^node:/],
  removeNodeProtocol: false,
  dts: false, // declarations come from `tsc -p tsconfig.build.json`
  outExtension: () => ({ js: ".js" }),
});
