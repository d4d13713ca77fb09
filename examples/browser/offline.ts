// A Vite plugin: once all files of the page are written, it writes service-worker.js with their list, and a link by which the page finds it.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Plugin } from "vite";

const name = "service-worker.js";

export function offline(): Plugin {
  let folder = "";
  return {
    name: "offline",
    apply: "build",
    configResolved({ root, build }) {
      folder = resolve(root, build.outDir);
    },
    transformIndexHtml: () => [{ tag: "link", attrs: { rel: "serviceworker", href: `./${name}` }, injectTo: "head" }],
    closeBundle() {
      const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
        .filter((file) => file !== name && statSync(join(folder, file)).isFile())
        .map((file) => file.replaceAll("\\", "/"))
        .sort();
      const hash = createHash("sha256");
      for (const file of files) hash.update(file).update(readFileSync(join(folder, file)));
      const template = readFileSync(join(import.meta.dirname, name), "utf8");
      const lists = JSON.stringify({ version: hash.digest("hex").slice(0, 16), files: ["./", ...files] });
      writeFileSync(join(folder, name), template.replace("__PAGE__", lists));
    },
  };
}
