// Where the page takes gpu.js from: the packages of test/gpu, where they are installed. A page built without it says so when it is chosen.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Plugin } from "vite";

export const gpuJsFile = resolve(import.meta.dirname, "../../test/gpu/node_modules/gpu.js/dist/gpu-browser.min.js");
const id = "\0gpu-browser";

export function gpuJs(): Plugin {
  return {
    name: "gpu-js",
    enforce: "pre",
    configResolved({ logger, isWorker }) {
      if (!isWorker && !existsSync(gpuJsFile)) logger.info(`The page goes without gpu.js; ${remedy}`);
    },
    resolveId: (name) => (name === "gpu.js" ? id : null),
    load: (name) => (name === id ? (existsSync(gpuJsFile) ? asModule(gpuJsFile) : missing) : null),
  };
}

const remedy = "npm ci --prefix test/gpu --ignore-scripts --omit=optional";
const missing = `throw new Error("this page was built without it; ${remedy}");`;

/** The package is a CommonJS file, which a browser that imports it by itself, as Vite serves it, finds no exports in. */
const asModule = (path: string): string =>
  `const module = { exports: {} }; const exports = module.exports;\n${readFileSync(path, "utf8")}\nexport const { GPU } = module.exports;`;
