// `--gpu-peers`: ops on our webgpu backend and in other packages that compute on GPUs, all in one page of Chromium.
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join, normalize, resolve } from "node:path";
import type { Browser } from "playwright-core";
import { build, type Rollup } from "vite";
import { emulatedGpu, launchBrowser } from "../browser/browser.js";
import { alias } from "../../vitest.config.js";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import type { SizeName } from "./op-sizes.js";
import type { BenchOptions } from "./options.js";
import type { GpuComparison, GpuMatch, GpuPeer } from "./peers/gpu-page.js";
import { nameOf, type GpuTask } from "./peers/gpu-task.js";
import { median, showQuartiles } from "./quartiles.js";

const peers: readonly GpuPeer[] = ["onnxruntime-web", "@jax-js/jax"];
const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const types: Readonly<Record<string, string>> = {
  js: "text/javascript",
  mjs: "text/javascript",
  wasm: "application/wasm",
};

/** The emulated adapter for what fits it, the machine's own otherwise. */
const flags: Readonly<Record<SizeName, readonly string[]>> = {
  small: emulatedGpu,
  large: ["--enable-unsafe-webgpu", "--enable-features=Vulkan", "--ignore-gpu-blocklist"],
};

interface Compared {
  readonly task: GpuTask;
  readonly peer: string;
  /** Why it was not measured. */
  readonly failed?: string;
  readonly result?: GpuMatch;
}

/** Of relative differences; sums of thousands of products differ by their order. */
const tolerance = 1e-4;

export async function compareGpu(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { gpuPeers: folder = ".", size = "small", rounds } = options;
  const facts = { library: libraryVersion(), machine: machineFacts(), size, rounds, peers: versions(folder) };
  print(`qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}\npeers     ${showFacts(facts.peers)}`);
  print(`milliseconds of a call, medians of ${rounds} rounds; ratio: ours over theirs in speed, median (quartiles)\n`);
  print(`${"".padEnd(60)}${"ours".padStart(10)}${"theirs".padStart(10)}   ratio`);
  const server = await serve(await bundle(), join(resolve(folder), "node_modules"));
  const browser = await launchBrowser(flags[size]);
  const results: Compared[] = [];
  try {
    for (const task of tasks(size, options)) {
      for (const peer of peers) {
        const address = `http://localhost:${(server.address() as AddressInfo).port}/`;
        const calls = size === "large" ? 20 : 2;
        const compared = await compareIn(browser, address, { peer, task, folder: "/peers", calls, rounds });
        results.push(compared);
        print(row(compared));
      }
    }
  } finally {
    await browser.close();
    server.close();
  }
  print(`\nslowest against the better peer: ${showWorst(results)}`);
  return { ...facts, results };
}

function tasks(size: SizeName, { product }: BenchOptions): GpuTask[] {
  const large = size === "large";
  const of = (big: number, small: number): number => (large ? big : small);
  const [rows, width] = [of(512, 64), of(4096, 1024)];
  const heads = { heads: of(16, 4), d: of(128, 64) };
  return [
    { op: "linear", ...(large ? product : { m: 128, k: 512, n: 512 }) },
    { op: "linear", m: 1, k: width, n: of(16_384, 2048) },
    { op: "rmsNorm", rows, width },
    { op: "softmax", rows, width },
    { op: "swiglu", rows, width },
    { op: "attention", tokens: of(1024, 128), keys: of(1024, 128), ...heads },
    { op: "attention", tokens: 1, keys: of(4096, 512), ...heads },
  ];
}

/** In a page of its own, since a peer keeps what it has. */
async function compareIn(browser: Browser, address: string, comparison: GpuComparison): Promise<Compared> {
  const { task, peer } = comparison;
  try {
    const page = await (await browser.newContext()).newPage();
    page.setDefaultTimeout(0);
    await page.goto(address);
    const call = `import("/page.js").then((page) => page.compare(${JSON.stringify(comparison)}))`;
    const result = await page.evaluate<GpuMatch>(call);
    await page.context().close();
    return { task, peer, result };
  } catch (error) {
    return { task, peer, failed: (error as Error).message.split("\n")[0] };
  }
}

function row({ task, peer, failed, result }: Compared): string {
  const name = `${nameOf(task)} | ${peer}`.padEnd(60);
  if (!result) return `${name}  not measured: ${failed}`;
  const { match, difference } = result;
  const numbers = [match.ours, match.theirs].map((times) => median(times).toPrecision(3).padStart(10)).join("");
  const doubt = difference < tolerance ? "" : `\n    the results differ by ${difference.toPrecision(2)} of the largest`;
  return `${name}${numbers}   ${showQuartiles(match.ratio)}${doubt}`;
}

/** Of each task the ratio to its fastest peer, the lowest of which counts. */
function showWorst(results: readonly Compared[]): string {
  const ratios = new Map<string, number>();
  for (const { task, result } of results) {
    if (!result) continue;
    const name = nameOf(task);
    ratios.set(name, Math.min(ratios.get(name) ?? Infinity, result.match.ratio.median));
  }
  const [worst] = [...ratios].sort(([, a], [, b]) => a - b);
  return worst ? `${worst[0]}, ${worst[1].toPrecision(3)} times as fast` : "none was measured";
}

function versions(folder: string): Record<GpuPeer, string> {
  const versionOf = (peer: GpuPeer): string => {
    const about = readFileSync(join(resolve(folder), "node_modules", peer, "package.json"), "utf8");
    return (JSON.parse(about) as { version: string }).version;
  };
  return Object.fromEntries(peers.map((peer) => [peer, versionOf(peer)])) as Record<GpuPeer, string>;
}

/** An empty page, the bundle, and the peers' files. */
async function serve(page: string, packages: string): Promise<Server> {
  const server = createServer(({ url = "/" }, response) => {
    const path = normalize(new URL(url, "http://localhost").pathname);
    if (path === "/") return void response.writeHead(200, { ...isolated, "Content-Type": "text/html" }).end();
    if (path === "/page.js") return void response.writeHead(200, { ...isolated, "Content-Type": types.js }).end(page);
    const file = path.startsWith("/peers/") ? join(packages, path.slice("/peers".length)) : undefined;
    if (file === undefined || !statSync(file, { throwIfNoEntry: false })?.isFile())
      return void response.writeHead(404, isolated).end();
    const type = types[file.split(".").at(-1) ?? ""] ?? "application/octet-stream";
    response.writeHead(200, { ...isolated, "Content-Type": type });
    createReadStream(file).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, "localhost", done));
  return server;
}

/** peers/gpu-page.ts and all that it imports, as one module. */
async function bundle(): Promise<string> {
  const entry = resolve(import.meta.dirname, "peers/gpu-page.ts");
  const result = await build({
    ...{ configFile: false, logLevel: "warn", resolve: { alias } },
    build: { write: false, minify: false, target: "es2022", lib: { entry, formats: ["es"] } },
  });
  const [{ output }] = result as Rollup.RollupOutput[];
  return output[0].code;
}
