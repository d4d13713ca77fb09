// A browser, and a server with pages of every policy that matters to WebAssembly and threads.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type { Browser, Page, Worker } from "playwright-core";
import { workerSource } from "qwen-blocks/wasm";
import { build, type Rollup } from "vite";
import { alias } from "../../vitest.config.js";
import type * as pageSpeeds from "../bench/page-speeds.js";
import type * as gpujsPage from "../gpu/gpujs-page.js";
import { launchBrowser } from "./browser.js";
import type * as suite from "./suite.js";

const embedder = { "Cross-Origin-Embedder-Policy": "require-corp" };
const isolated = { ...embedder, "Cross-Origin-Opener-Policy": "same-origin" };
const policy = (text: string): Record<string, string> => ({ ...isolated, "Content-Security-Policy": text });

/** Pages by path, all of them empty, with their headers. */
const pages = {
  "/isolated": isolated,
  "/not-isolated": {},
  "/strict": policy("default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src blob:"),
  "/no-blob-workers": policy("script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'"),
  "/no-wasm": policy("script-src 'self'; worker-src blob:"),
} satisfies Record<string, Record<string, string>>;

export type Path = keyof typeof pages;
/** Where code of the suite runs: a page, or a worker of one. */
export type Realm = Page | Worker;
type Suite = typeof suite & typeof gpujsPage & typeof pageSpeeds;

/** What pages load as /suite.js. */
export interface Bundled {
  readonly entry: string;
  readonly minify: boolean;
  /** Where packages lie that are not this repository's own, by name. */
  readonly packages: Readonly<Record<string, string>>;
}

const plainSuite: Bundled = { entry: resolve(import.meta.dirname, "suite.ts"), minify: false, packages: {} };

export interface Chromium {
  /** Opens a page, alone in its context. */
  page(path: Path): Promise<Page>;
  /** Workers that live, in all pages. */
  workers(): Promise<number>;
  close(): Promise<void>;
}

/** Calls a function of the bundle in the browser. Arguments and results go as JSON. */
export async function call<Name extends keyof Suite>(
  realm: Realm,
  name: Name,
  ...args: Parameters<Suite[Name]>
): Promise<Awaited<ReturnType<Suite[Name]>>> {
  const inside: { evaluate(expression: string): Promise<Awaited<ReturnType<Suite[Name]>>> } = realm;
  return inside.evaluate(`import("/suite.js").then((suite) => suite.${name}(...${JSON.stringify(args)}))`);
}

/** @param flags of the browser, as `launchBrowser` takes them */
export async function launch(flags?: readonly string[], bundled: Bundled = plainSuite): Promise<Chromium> {
  const server = await serve(bundled);
  const { port } = server.address() as AddressInfo;
  const browser = await launchBrowser(flags);
  return {
    async page(path) {
      const page = await (await browser.newContext()).newPage();
      page.setDefaultTimeout(120_000);
      await page.goto(`http://localhost:${port}${path}`);
      return page;
    },
    workers: () => countWorkers(browser),
    async close() {
      await browser.close();
      server.close();
    },
  };
}

async function countWorkers(browser: Browser): Promise<number> {
  const session = await browser.newBrowserCDPSession();
  const { targetInfos } = await session.send("Target.getTargets");
  await session.detach();
  return targetInfos.filter(({ type }) => type === "worker").length;
}

async function serve(bundled: Bundled): Promise<ReturnType<typeof createServer>> {
  const script = { ...embedder, "Content-Type": "text/javascript" };
  const files: Record<string, { readonly headers: Record<string, string>; readonly body: string }> = {
    "/suite.js": { headers: script, body: await bundle(bundled) },
    "/worker.js": { headers: script, body: workerSource },
  };
  for (const [path, headers] of Object.entries(pages)) {
    files[path] = { headers: { ...headers, "Content-Type": "text/html" }, body: "<!doctype html><title>suite</title>" };
  }
  const server = createServer(({ url = "" }, response) => {
    const file = files[url];
    response.writeHead(file === undefined ? 404 : 200, file?.headers ?? embedder).end(file?.body);
  });
  await new Promise<void>((done) => server.listen(0, "localhost", done));
  return server;
}

/** The entry and all that it imports, as one module; gpu.js only where it is given. */
async function bundle({ entry, minify, packages }: Bundled): Promise<string> {
  const own = Object.entries(packages).map(([find, replacement]) => ({ find, replacement }));
  const result = await build({
    configFile: false,
    logLevel: "warn",
    resolve: { alias: [...alias, ...own] },
    build: {
      write: false,
      minify,
      target: "es2022",
      lib: { entry, formats: ["es"] },
      rollupOptions: { external: "gpu.js" in packages ? [] : ["gpu.js"], output: { inlineDynamicImports: true } },
    },
  });
  const [{ output }] = result as Rollup.RollupOutput[];
  return output[0].code;
}
