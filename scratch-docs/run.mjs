// extracts ```ts blocks of the given files and runs each
import { readFileSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
const only = process.argv.slice(2);
for (const f of only) {
  const blocks = [...readFileSync(f, "utf8").matchAll(/```ts\n([\s\S]*?)```/g)].map((m) => m[1]);
  blocks.forEach((b, i) => {
    const name = `scratch-docs/ex-${f.replace(/\W/g, "_")}-${i}.ts`;
    writeFileSync(name, b);
    console.log(`##### ${f} block ${i}`);
    try { console.log(execFileSync("npx", ["tsx", name], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })); }
    catch (e) { console.log("FAILED", e.stdout, e.stderr); }
  });
}
