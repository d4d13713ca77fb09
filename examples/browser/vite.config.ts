// `npm run demo` serves the page with the headers that threads need; `npm run demo:build` makes static files that also work without them.
import { resolve } from "node:path";
import { defineConfig } from "vite";
import { alias } from "../../vitest.config.js";
import { gpuJs } from "./gpu-js.js";
import { isolation } from "./isolation.js";
import { offline } from "./offline.js";

const out = resolve(import.meta.dirname, "../../out");
export default defineConfig({
  root: import.meta.dirname,
  base: "./", // the files work under any address
  publicDir: resolve(out, "carried"),
  resolve: { alias },
  plugins: [gpuJs(), offline()],
  worker: { format: "es", plugins: () => [gpuJs()] },
  server: { headers: isolation },
  preview: { headers: isolation },
  build: { outDir: resolve(out, "browser"), emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 1000 },
});
