// wllama: llama.cpp in WebAssembly, in Chromium, in a page that may have threads.
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { Random } from "qwen-blocks";
import { launchBrowser } from "../../browser/browser.js";
import type { FileTask } from "./file.js";
import { takeTurns } from "./turns.js";

/** What a completion did, by its own account. */
interface Timings {
  readonly cache_n: number;
  readonly prompt_n: number;
  readonly predicted_n: number;
}
interface Wllama {
  loadModel(files: readonly Blob[], options: object): Promise<void>;
  getNumThreads(): number;
  createCompletion(options: object): Promise<{ readonly timings: Timings }>;
}

const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const typeOf = (path: string): string =>
  path.endsWith(".js") ? "text/javascript" : path.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";

await takeTurns(async ({ phase, file, folder, threads, tokens, decoded }: FileTask) => {
  const root = join(folder, "node_modules/@wllama/wllama");
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const page = await (await launchBrowser()).newPage();
  await page.goto(await serve(join(root, "esm"), file));
  const options = {
    n_threads: threads,
    n_ctx: tokens + decoded + 1,
    n_batch: tokens,
    n_ubatch: tokens,
    n_gpu_layers: 0,
  };
  const used = await load(page, options);
  if (used !== threads) throw new Error(`it has ${used} threads`);
  const prompt = await promptOf(page, tokens);
  // A prompt that it remembers costs its last token, so this completion is `decoded` steps; of one token, it is the prompt's.
  const request =
    phase === "decode" ? { max_tokens: decoded, cache_prompt: true } : { max_tokens: 1, cache_prompt: false };
  await complete(page, { prompt, ...request });
  const { cache_n, prompt_n, predicted_n } = await complete(page, { prompt, ...request });
  const did = `it read ${prompt_n} tokens behind ${cache_n} and made ${predicted_n}`;
  const read = phase === "decode" ? 1 : tokens;
  if (prompt_n !== read || cache_n !== tokens - read || predicted_n !== request.max_tokens) throw new Error(did);
  return { info: { version, threads }, run: async () => void (await complete(page, { prompt, ...request })) };
});

/** The address of an empty page, beside which lie wllama and the model. */
async function serve(scripts: string, model: string): Promise<string> {
  const server = createServer(({ url = "/" }, response) => {
    if (url === "/") return void response.writeHead(200, { ...isolated, "Content-Type": "text/html" }).end();
    const path = url === "/model.gguf" ? model : join(scripts, url);
    const size = statSync(path, { throwIfNoEntry: false })?.size;
    if (size === undefined) return void response.writeHead(404).end();
    response.writeHead(200, { ...isolated, "Content-Type": typeOf(path), "Content-Length": size });
    createReadStream(path).pipe(response);
  });
  await new Promise<void>((done) => server.listen(0, "localhost", done));
  return `http://localhost:${(server.address() as AddressInfo).port}/`;
}

/** Leaves the loaded model in the page; the number of its threads. */
function load(page: Page, options: object): Promise<number> {
  return inPage(page, options, async (options) => {
    const address = "/index.js";
    const { Wllama } = (await import(address)) as { Wllama: new (paths: object, options: object) => Wllama };
    const wllama = new Wllama({ default: "/wasm/wllama.wasm" }, { allowOffline: true, suppressNativeLog: true });
    await wllama.loadModel([await (await fetch("/model.gguf")).blob()], options);
    (globalThis as { wllama?: Wllama }).wllama = wllama;
    return wllama.getNumThreads();
  });
}

function complete(page: Page, request: object): Promise<Timings> {
  return inPage(page, { ...request, ignore_eos: true, temperature: 0 }, async (request) => {
    const { wllama } = globalThis as unknown as { wllama: Wllama };
    return (await wllama.createCompletion(request)).timings;
  });
}

/** The function's text goes to the page, so it may use nothing from here. */
function inPage<T>(page: Page, argument: object, run: (argument: object) => Promise<T>): Promise<T> {
  // tsx marks functions with a name by a call of `__name`, which a page lacks.
  return page.evaluate(`((__name) => (${run.toString()})(${JSON.stringify(argument)}))((x) => x)`);
}

/** Letters that its tokenizer makes so many tokens of: it takes text only. */
async function promptOf(page: Page, tokens: number): Promise<string> {
  const random = new Random(1);
  const letters = (count: number): string =>
    Array.from({ length: count }, () => String.fromCharCode(97 + random.integer(26))).join("");
  let text = letters(tokens);
  for (let tries = 0; tries < 50; tries++) {
    const { prompt_n } = await complete(page, { prompt: text, max_tokens: 1, cache_prompt: false });
    if (prompt_n === tokens) return text;
    text = prompt_n > tokens ? text.slice(prompt_n - tokens) : text + letters(tokens - prompt_n);
  }
  throw new Error(`no text of letters was found that is ${tokens} tokens`);
}
