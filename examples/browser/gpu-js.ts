// Where the page takes gpu.js from: the packages of test/gpu, where they are installed. A page built without it says so when it is chosen.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Plugin } from "vite";

const file = resolve(import.meta.dirname, "../../test/gpu/node_modules/gpu.js/dist/gpu-browser.min.js");
const missing = "\0gpu.js";

export function gpuJs(): Plugin {
  return {
    name: "gpu-js",
    enforce: "pre",
    resolveId: (id) => (id !== "gpu.js" ? null : existsSync(file) ? file : missing),
    load: (id) => (id === missing ? 'throw new Error("this page was built without it");' : null),
  };
}
