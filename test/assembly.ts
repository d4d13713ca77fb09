// Before all tests: compiles the WebAssembly modules, unless their sources are unchanged.
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

export function setup(): void {
  execFileSync(process.execPath, [resolve(import.meta.dirname, "../src/backends/wasm/assembly/build.mjs")], {
    stdio: "inherit",
  });
}
