// The page of examples/browser in Chromium, as a visitor uses it: isolated and not, offline, on a narrow screen, with each backend.
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { Qwen3, allParameters, configToJson, randomWeights } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { qwen3Names, saveCheckpoint } from "qwen-blocks/io";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { carry } from "../../examples/browser/carry.js";
import { gpuJsFile } from "../../examples/browser/gpu-js.js";
import { toyRecipe } from "../../examples/train-toy/settings.js";
import { emulatedGl, emulatedGpu, launchBrowser } from "./browser.js";
import { busiest } from "./page-tasks.js";
import { servePage, type PageServer } from "./page-server.js";

const patience = 240_000;
const example = resolve(import.meta.dirname, "../../examples/browser");

let folder: string;
let site: string;
let browser: Browser;
let isolated: PageServer;
/** What went wrong in any page since the last test. */
const complaints: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "page-"));
  site = join(folder, "site");
  await makeCheckpoint(join(folder, "checkpoint"));
  await carry(join(folder, "checkpoint"), join(folder, "carried"));
  await build({
    configFile: join(example, "vite.config.ts"),
    logLevel: "warn",
    publicDir: join(folder, "carried"),
    build: { outDir: site, reportCompressedSize: false },
  });
  isolated = await servePage([site], true);
  browser = await launchBrowser();
}, patience);
afterAll(async () => {
  await browser.close();
  await isolated.close();
  rmSync(folder, { recursive: true });
});
afterEach(() => expect(complaints.splice(0)).toEqual([]));

/** The toy, as a run would leave it, but for the training. */
async function makeCheckpoint(to: string): Promise<void> {
  const { config } = toyRecipe;
  await using backend = await cpu();
  const model = new Qwen3(randomWeights(backend, 1, config), config);
  const names = qwen3Names(config);
  await saveCheckpoint(to, allParameters(model), configToJson(config), { dtype: "f32", layout: "per-expert", names });
}

/** @param before runs in the page before its own scripts */
async function visit(
  address: string,
  options: BrowserContextOptions = {},
  by = browser,
  before = (): void => undefined,
): Promise<Page> {
  const page = await (await by.newContext(options)).newPage();
  await page.addInitScript(before);
  page.setDefaultTimeout(120_000);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", ({ message }) => complaints.push(message));
  await page.goto(address);
  return page;
}

const tokens = (page: Page): Promise<string> =>
  page.locator("#tokens span").evaluateAll((spans) => spans.map((span) => span.textContent).join(""));

/** Waits until the model has written all it is going to. */
async function written(page: Page): Promise<string> {
  await page.locator("#tokens span:nth-child(200)").waitFor({ state: "attached" }); // a byte within a character shows nothing
  await page.locator('#tokens[aria-busy="false"]').waitFor();
  return tokens(page);
}

/** Chooses a backend and waits until it runs. */
async function choose(page: Page, choice: string): Promise<void> {
  await page.locator(`input[value="${choice}"]`).check();
  await page.locator(`#why-${choice}`, { hasText: /^runs/ }).waitFor();
}

const numberIn = async (page: Page, selector: string): Promise<number> =>
  Number(/[\d.]+/.exec(await page.locator(selector).innerText())?.[0] ?? NaN);

/** Waits until so many steps are shown. */
async function steps(page: Page, count: number): Promise<void> {
  await page.waitForFunction((least) => Number(document.querySelector("#num-step")?.textContent) >= least, count);
}

/** Rows of the comparison by backend: loss and largest difference of a logit, or a reason. */
async function compare(page: Page): Promise<Map<string, string[]>> {
  await page.locator("#compare").click();
  await page.locator("#compare:enabled").waitFor();
  const rows = await page
    .locator("#compared tbody tr")
    .evaluateAll((found) => found.map((row) => [...row.children].map((cell) => cell.textContent ?? "")));
  return new Map(rows.map(([name, ...cells]) => [name, cells]));
}

/**
 * Logits of a toy with random weights stay below 16; the longest chain of sums that makes one has under 600 roundings of half an ulp:
 * 600 * 2^-24 * 16.
 */
const mostDifferent = 6e-4;

function expectAgreement(rows: ReadonlyMap<string, readonly string[]>, name: string): void {
  const [loss, difference] = rows.get(name) ?? [];
  const [reference] = rows.get("Plain JavaScript") ?? [];
  expect(Math.abs(Number(loss) - Number(reference)), name).toBeLessThan(mostDifferent);
  expect(Number(difference), name).toBeLessThan(mostDifferent);
}

describe("an isolated page", { timeout: patience }, () => {
  let page: Page;
  beforeAll(async () => {
    page = await visit(isolated.address);
  }, patience);
  afterAll(() => page.context().close());

  test("opens the best backend, and says why it is not another", async () => {
    await page.locator("#compare:enabled").waitFor();
    expect(await page.locator("#fact-backend").innerText()).toMatch(/^WebAssembly, [2-9] threads$/);
    expect(await page.locator("#why-webgpu").innerText()).toContain("the system must have a GPU adapter");
    expect(await page.locator("#why-cpu").innerText()).toBe("ready");
    expect(await page.locator("#origin").innerText()).toContain("It learned from");
  });

  test("writes on from what is typed, and shows each token's experts by keyboard", async () => {
    await written(page);
    await page.locator("#prompt").fill("const α = 1;");
    await page.waitForFunction(() => document.querySelector("#tokens")?.textContent?.startsWith("§const α"));
    const text = await written(page);
    expect(text.length).toBeGreaterThan(100);
    await page.locator("#tokens").focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    const visits = page.locator("#visits");
    expect(await visits.innerText()).toContain("Token c went to experts");
    const shares = (await visits.locator("li").allInnerTexts()).map((item) => Number(/ (.*) %/.exec(item)?.[1]));
    expect(shares).toHaveLength(16);
    // Eight shares of one layer, each shown to within half a percent.
    expect(Math.abs(shares.slice(0, 8).reduce((sum, share) => sum + share) - 100)).toBeLessThanOrEqual(4);
    expect(await page.locator("#loads-maps canvas").first().getAttribute("aria-label")).toMatch(/expert \d+ has most/);
  });

  test("of a long text it reads the end, says so, and tells what it added", async () => {
    const text = `${"α".repeat(100)}x`;
    await page.locator("#prompt").fill(text);
    await page.locator("#cut").waitFor(); // of 64 tokens a prompt gets 48, and the first of these is the latter half of an α
    expect(await written(page)).toMatch(/^α{23}x/);
    expect(await page.locator("#tokens .given").count()).toBe(47);
    expect(await page.locator("#status").innerText()).not.toContain("α".repeat(3));
    await page.locator("#prompt").fill("const α = 1;");
    await page.locator("#cut").waitFor({ state: "hidden" });
    await written(page);
  });

  test("gives up a text for another one, and takes another layer's colours while it waits for that", async () => {
    await page.locator("#again").click();
    await page.locator("#tokens:not(.past)").waitFor();
    await page.evaluate(() => {
      document.querySelector<HTMLElement>("#again")?.click();
      document.querySelector<HTMLElement>('[name="color-layer"][value="1"]')?.click();
    });
    await page.locator("#tokens:not(.past)").waitFor();
    expect(await written(page)).toMatch(/^§/); // not the end of what was given up
  });

  test("shows what a head looks at: weights of one token sum to 1", async () => {
    await page.locator("#head").selectOption("2");
    await page.locator("#query").fill("7");
    await page.locator("#attend-table summary").click();
    await expect.poll(() => page.locator("#attend-table tbody tr").count()).toBe(8);
    const weights = await page.locator("#attend-table td:last-child").allInnerTexts();
    // Eight weights, each shown to within half a percent.
    expect(Math.abs(weights.reduce((sum, text) => sum + parseFloat(text), 0) - 100)).toBeLessThanOrEqual(4);
  });

  test("writes the same text on one thread as on several, and gives equal numbers on all backends", async () => {
    const text = await written(page);
    await choose(page, "wasm-one");
    expect(await written(page)).toBe(text);
    const rows = await compare(page);
    for (const name of ["WebAssembly, one thread", "WebAssembly, threads"]) expectAgreement(rows, name);
    await page.locator("#fresh").click(); // other weights
    expectAgreement(await compare(page), "WebAssembly, threads");
  });

  test("packs the model", async () => {
    await page.locator("#format").selectOption("q4_0");
    await expect.poll(() => page.locator("#formats-table tbody tr").count()).toBe(2);
    const sizes = (await page.locator("#formats-table td:nth-child(2)").allInnerTexts()).map(parseFloat);
    expect(sizes[1]).toBeLessThan(sizes[0] / 6);
    await written(page);
  });

  test("runs on plain JavaScript", async () => {
    await choose(page, "cpu");
    await page.locator("#tokens span:nth-child(40)").waitFor({ state: "attached" });
  });
});

test("training: the loss falls, the experts collapse and recover", { timeout: patience }, async () => {
  const page = await visit(isolated.address);
  await written(page);
  await browser.startTracing(page, { categories: ["toplevel"] });
  await page.locator("#again").click();
  await written(page);
  await page.locator("#fresh").click();
  await page.locator("#balance").uncheck();
  await page.locator("#train").click();
  await steps(page, 1);
  const before = await numberIn(page, "#num-loss");
  await steps(page, 25);
  const collapsed = await numberIn(page, "#num-load");
  expect(await numberIn(page, "#num-loss")).toBeLessThan(before - 1);
  await page.locator("#balance").check();
  await steps(page, 55);
  const recovered = await numberIn(page, "#num-load");
  await page.locator("#train").click();
  const { cpu, wall, tasks } = busiest(await browser.stopTracing());
  console.log(
    `${tasks} tasks of the page's main thread: at most ${cpu.toFixed(0)} ms of CPU time, ${wall.toFixed(0)} ms by the clock`,
  );
  expect(tasks).toBeGreaterThan(0); // how long they take depends on who else runs here: it is printed, not judged
  expect(collapsed).toBeGreaterThan(9); // 16 is one and the same set of experts for every token
  expect(recovered).toBeLessThan(0.75 * collapsed);
  await expect.poll(() => page.locator("#loss-chart svg").getAttribute("aria-label")).toMatch(/^Loss from \d/);
  await page.locator("#train-table summary").click();
  await expect.poll(() => page.locator("#train-table").innerText()).toMatch(/\(off\)[^]*\(on\)/);
  await page.locator("#train").click();
  await steps(page, 60);
  await page.locator("#fresh").click(); // while it trains: the old model's last steps are not the new one's first
  await page.waitForFunction(() => [3, 4, 5, 6].includes(Number(document.querySelector("#num-step")?.textContent)));
  await page.locator("#train").click();
  await expect
    .poll(() => page.locator("#loss-chart svg").getAttribute("aria-label"))
    .toMatch(/^Loss from [\d.]+ at step 1 to/);
  await page.context().close();
});

test(
  "a page that is not isolated has one thread, and works offline after the first load",
  { timeout: patience },
  async () => {
    const next = mkdtempSync(join(folder, "next-"));
    const server = await servePage([next, site], false);
    const page = await visit(server.address);
    await page.locator("#compare:enabled").waitFor();
    expect(await page.locator("#fact-backend").innerText()).toBe("WebAssembly, 1 thread");
    expect(await page.locator("#why-wasm-threads").innerText()).toContain("not cross-origin isolated");
    await page.locator("#fact-offline", { hasText: "ready" }).waitFor();
    const worker = readFileSync(join(site, "service-worker.js"), "utf8");
    writeFileSync(join(next, "service-worker.js"), worker.replace(/"version":"\w+"/, '"version":"next"'));
    await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
    await page.waitForFunction(async () => (await navigator.serviceWorker.getRegistration())?.waiting);
    expect(await page.evaluate(() => caches.keys())).toHaveLength(2); // this page's files stay
    await server.close();
    await page.reload();
    await written(page);
    await page.locator("#train").click();
    await page.locator("#loss-chart svg").waitFor();
    await page.context().close();
  },
);

test(
  "on a narrow screen nothing is cut off; without a checkpoint it begins with random weights, without storage in the system's colours",
  { timeout: patience },
  async () => {
    const untrained = join(folder, "untrained");
    await carry(join(folder, "none"), untrained);
    const server = await servePage([untrained, site], true);
    const narrow = { viewport: { width: 360, height: 740 }, colorScheme: "dark" } as const;
    const page = await visit(server.address, narrow, browser, () => {
      Object.defineProperty(window, "localStorage", {
        get() {
          throw new DOMException("blocked", "SecurityError");
        },
      });
    });
    await written(page);
    expect(await page.locator("#origin").innerText()).toContain("npm start makes one");
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    const cut = await page
      .locator("button, select, textarea, .segments label, canvas")
      .evaluateAll((found) =>
        found.filter((one) => one.getBoundingClientRect().right > 360).map((one) => one.outerHTML),
      );
    expect(cut).toEqual([]);
    await page.locator('#theme [value="light"]').check();
    expect(await page.evaluate("document.documentElement.dataset.theme")).toBe("light");
    await page.addStyleTag({ content: ":root { font-size: 200% }" });
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    await page.context().close();
    await server.close();
  },
);

test(
  "an emulated GPU is passed over for that reason, and computes the same numbers",
  { timeout: patience },
  async () => {
    const other = await launchBrowser([...emulatedGpu, ...emulatedGl]);
    const page = await visit(isolated.address, {}, other);
    await page.locator("#compare:enabled").waitFor();
    expect(await page.locator("#fact-backend").innerText()).toMatch(/^WebAssembly/);
    expect(await page.locator("#why-webgpu").innerText()).toContain("the adapter is emulated on the CPU");
    await page.locator("#fresh").click(); // weights that no other run had
    const rows = await compare(page);
    expectAgreement(rows, "WebGPU");
    if (existsSync(gpuJsFile)) expectAgreement(rows, "gpu.js");
    else expect(rows.get("gpu.js")?.[1]).toContain("this page was built without it");
    await other.close();
  },
);

test("all of the page but its charts stays under 400 KB", () => {
  const files = readdirSync(site, { recursive: true, encoding: "utf8" }).filter(
    (name) => /\.(html|js|css)$/.test(name) && !name.includes("charts-"),
  );
  const sizes = files.map((name) => gzipSync(readFileSync(join(site, name))).length);
  const bytes = sizes.reduce((total, size) => total + size);
  console.log(`the page: ${bytes} bytes gzip: ${files.map((name, i) => `${name} ${sizes[i]}`).join(", ")}`);
  expect(bytes).toBeLessThan(400_000);
});

const focused = (page: Page): Promise<string> => page.evaluate("document.activeElement.id");

/** Formats in the table, and megabytes of each. */
async function packed(page: Page): Promise<[string, number][]> {
  const rows = await page.locator("#formats-table tbody tr").allInnerTexts();
  return rows.map((row) => {
    const [format, size] = row.split("\t");
    return [format, parseFloat(size)];
  });
}

const formatsIn = async (page: Page): Promise<string[]> => (await packed(page)).map(([format]) => format);

test("each format is packed anew; what is chosen by keyboard keeps the focus", { timeout: patience }, async () => {
  const page = await visit(isolated.address);
  await page.locator("#compare:enabled").waitFor();
  await expect.poll(() => formatsIn(page)).toEqual(["f32"]);
  await page.locator("#format").focus();
  await page.keyboard.press("q"); // q8_0, the first of that letter
  await expect.poll(() => formatsIn(page)).toEqual(["f32", "q8_0"]);
  await page.keyboard.press("ArrowDown"); // int8
  await page.keyboard.press("ArrowDown");
  await expect.poll(async () => (await formatsIn(page)).at(-1)).toBe("fp8_e4m3");
  expect(await focused(page)).toBe("format");
  await page.locator("#format").selectOption("q4_0");
  await expect.poll(async () => (await formatsIn(page)).at(-1)).toBe("q4_0");
  const sizes = new Map(await packed(page));
  expect(sizes.get("q8_0")).toBeGreaterThan(1.5 * (sizes.get("q4_0") ?? NaN));
  await page.locator("#compare").focus();
  await page.keyboard.press("Enter");
  await page.locator("#compare:enabled").waitFor();
  await expect.poll(() => focused(page)).toBe("compare");
  await choose(page, "cpu");
  expect(await page.locator("#fact-backend").innerText()).toBe("Plain JavaScript");
  await page.context().close();
});

test(
  "a run of steps goes on where a change of the model stopped it, and Stop ends it",
  { timeout: patience },
  async () => {
    const page = await visit(isolated.address);
    await written(page);
    await page.locator("#train").click();
    await steps(page, 5);
    await choose(page, "wasm-one");
    const progress = page.locator("#progress-label");
    const before = await numberIn(page, "#num-step");
    await steps(page, before + 1);
    const [step, label] = await page.evaluate<[string, string]>(
      `["#num-step", "#progress-label"].map((id) => document.querySelector(id).textContent)`,
    );
    expect(label).toBe(`Training, step ${step} of 300`);
    await page.locator("#format").selectOption("q4_0");
    await page.locator("#train").click(); // while it packs
    await expect.poll(() => formatsIn(page)).toEqual(["q4_0"]);
    expect(await page.locator("#format").inputValue()).toBe("q4_0");
    expect(await progress.textContent()).toBe("");
    await page.locator("#trained").click();
    await expect
      .poll(() => page.locator("#loads-maps canvas").first().getAttribute("aria-label"))
      .toMatch(/while training: nothing yet/);
    await page.context().close();
  },
);

test("a lost device is said, and another backend begins anew", { timeout: patience }, async () => {
  const other = await launchBrowser(emulatedGpu);
  const page = await visit(isolated.address, {}, other);
  await page.locator("#compare:enabled").waitFor();
  await choose(page, "webgpu");
  await page.locator("#train").click();
  await steps(page, 1);
  const session = await other.newBrowserCDPSession();
  await session.send("Browser.crashGpuProcess").catch(() => undefined); // who crashes does not answer
  const error = page.locator("#error");
  await expect.poll(() => error.innerText(), { timeout: 60_000 }).toContain("the device must stay alive");
  await page.locator("#train", { hasText: "Train" }).waitFor();
  await choose(page, "wasm-threads");
  expect(await error.innerText()).toContain("The model begins anew");
  expect(await page.locator("#num-step").innerText()).toBe("–");
  await written(page);
  await page.locator("#train").click();
  await steps(page, 1);
  expect(await error.isVisible()).toBe(false);
  await other.close();
  complaints.length = 0; // Chromium warns of the crash
});

test("curves that load after the last step are drawn", { timeout: patience }, async () => {
  const page = await visit(isolated.address, { serviceWorkers: "block" }); // whose requests no route would see
  await written(page);
  let load = (): void => undefined;
  const asked = new Promise<void>((resolve) => (load = resolve));
  await page.route(/charts-/, async (route) => {
    await asked;
    await route.continue();
  });
  await page.locator("#train").click();
  await steps(page, 3);
  await page.locator("#train").click();
  await expect.poll(() => page.locator("#progress-label").textContent()).toBe(""); // the last step has ended
  expect(await page.locator("#loss-chart svg").count()).toBe(0);
  load();
  await page.locator("#loss-chart svg").waitFor();
  expect(complaints.splice(0)).toEqual([expect.stringMatching(/service worker/i)]); // the block itself
  await page.context().close();
});

test("an error stays until the visitor does something", { timeout: patience }, async () => {
  const page = await visit(isolated.address);
  await written(page);
  await page.evaluate(`(() => {
    const { postMessage } = Worker.prototype;
    Worker.prototype.postMessage = function (call) {
      if (!["train", "reset"].includes(call.name)) return postMessage.call(this, call);
      const data = { id: call.id, error: { name: "Error", message: "refused to " + call.name } };
      this.dispatchEvent(new MessageEvent("message", { data }));
    };
  })()`);
  const error = page.locator("#error");
  const status = page.locator("#status");
  await page.locator("#fresh").click();
  await expect.poll(() => error.innerText()).toBe("refused to reset");
  expect(await status.textContent()).not.toContain("random weights");
  await page.locator("#train").click(); // ends at once, after which the format is measured anew, and the model writes
  await expect.poll(() => status.textContent()).toMatch(/^The model writes in f32/);
  await written(page);
  expect(await error.innerText()).toBe("refused to train");
  await page.locator("#format").selectOption("q8_0");
  await expect.poll(() => formatsIn(page)).toEqual(["f32", "q8_0"]);
  expect(await error.isVisible()).toBe(false);
  await page.context().close();
});
