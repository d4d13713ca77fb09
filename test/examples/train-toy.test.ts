import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CheckpointError, ConfigError, FormatError, Qwen3, configFromJson, disposeAll } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { loadModel, loadTrainingState, openCheckpoint, qwen3Names, type TrainingSection } from "qwen-blocks/io";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { entropiesOf } from "../../examples/train-toy/entropies.js";
import { lastLoads, emptyHistory, addStep } from "../../examples/train-toy/history.js";
import { readOptions, usage, type Options } from "../../examples/train-toy/options.js";
import { trainToy } from "../../examples/train-toy/run.js";
import { toyRecipe, type Recipe } from "../../examples/train-toy/settings.js";
import { decode, documentToken, readText } from "../../examples/train-toy/text.js";

const recipe: Recipe = {
  ...toyRecipe,
  config: {
    ...toyRecipe.config,
    hiddenSize: 32,
    numAttentionHeads: 2,
    headDim: 16,
    numExperts: 8,
    numExpertsPerTok: 2,
    moeIntermediateSize: 32,
  },
  contextLength: 16,
  batchSize: 2,
  sampleTokens: 30,
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "train-toy-"));
  const lines = Array.from({ length: 60 }, (_, i) => `Line ${i}: a <b> & the quick brown fox, ${i * i} times. é\n`);
  writeFileSync(join(folder, "text.txt"), lines.join(""));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Run extends Partial<Options> {
  /** Interrupts after this step. */
  readonly until?: number;
}

async function run(name: string, { until, ...options }: Run = {}): Promise<{ out: string; printed: string }> {
  const out = join(folder, name);
  const printed: string[] = [];
  const interrupt = new AbortController();
  const print = (line: string): void => {
    printed.push(line);
    if (until !== undefined && line.startsWith(`${until}/`)) interrupt.abort();
  };
  const text = options.resume ? [] : [join(folder, "text.txt")];
  const steps = options.resume ? {} : { steps: 6 };
  await trainToy({ resume: false, text, ...steps, ...options, out }, { signal: interrupt.signal, print, recipe });
  return { out, printed: printed.join("\n") };
}

/** Everything that a resumed run depends on. */
async function stateOf(out: string): Promise<unknown> {
  const saved = await loadTrainingState(join(out, "training-state.safetensors"));
  const { step, random, history } = saved.state as { step: number; random: unknown; history: { seconds: number } };
  const tensors = async (section: TrainingSection): Promise<unknown[]> =>
    Promise.all(saved.names(section).map(async (name) => [name, await saved.data(section, name)]));
  const model = await tensors("model");
  const optimizer = await tensors("optimizer");
  return { model, optimizer, step, random, history: { ...history, seconds: 0 } };
}

describe("a run", () => {
  test("writes a report without anything from outside, and a checkpoint that loads", async () => {
    const { out, printed } = await run("whole");
    expect(printed).toContain("6/6 loss");
    expect(printed).toMatch(/unigram, entropy of the tokens +\d\.\d{3} {2}the model is/);
    const stored = ["f32", "q8_0", "q4_0"].map((format) =>
      new RegExp(`${format} +(\\d\\.\\d+) MB +(\\d\\.\\d+) +\\d+`).exec(printed),
    );
    const [sizes, losses] = [1, 2].map((column) => stored.map((found) => Number(found?.[column])));
    expect(sizes[0] > sizes[1] && sizes[1] > sizes[2]).toBe(true);
    for (const loss of losses) expect(Math.abs(loss / losses[0] - 1)).toBeLessThan(0.1);
    expect(printed).toContain("In q4_0 it writes:");
    expect(readdirSync(out).sort()).toEqual(["checkpoint", "report.html", "training-state.safetensors"]);

    const page = readFileSync(join(out, "report.html"), "utf8");
    const namespaces = ["http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"];
    expect((page.match(/https?:\/\/[^"'\s)]+/g) ?? []).filter((url) => !namespaces.includes(url))).toEqual([]);
    expect(page).not.toMatch(/<(script|link|img|iframe)\b|url\(|@import/);
    expect(page.match(/<svg[^>]*>/g)!.every((svg) => /aria-label="[^"]{20,}" role="img"/.test(svg))).toBe(true);
    expect(page).not.toMatch(/NaN|undefined|Infinity/);

    const backend = await cpu();
    const checkpoint = await openCheckpoint(join(out, "checkpoint"));
    const config = configFromJson(checkpoint.config);
    expect(config).toEqual({ ...recipe.config, routerAuxLossCoef: toyRecipe.defaults.aux });
    const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names: qwen3Names(config) });
    disposeAll(model);
    expect(backend.memory.usage().buffers).toBe(0);
  });

  test("that is interrupted and resumed equals one that was not, bit by bit", async () => {
    const whole = await run("uninterrupted");
    const { out, printed } = await run("interrupted", { until: 3 });
    expect(printed).toContain(`saved at step 3 of 6. Go on with: npm start -- --resume --out ${out}`);
    expect(readdirSync(out)).toEqual(["training-state.safetensors"]);
    const resumed = await run("interrupted", { resume: true });
    expect(resumed.printed).not.toContain("3/6");
    expect(resumed.printed).toContain("4/6");
    expect(await stateOf(out)).toEqual(await stateOf(whole.out));
  });

  test("resumes only what was saved, as it was saved", async () => {
    await expect(run("nothing", { resume: true })).rejects.toThrow(/--resume: .* must hold a saved run/);
    await run("other", { until: 1 });
    for (const change of [{ steps: 7 }, { seed: 5 }, { aux: 0.5 }]) {
      const [name] = Object.keys(change);
      await expect(run("other", { resume: true, ...change })).rejects.toThrow(`--${name}: must be that of the saved`);
    }
    writeFileSync(join(folder, "changing.txt"), "before ".repeat(100));
    await run("changed", { until: 1, text: [join(folder, "changing.txt")] });
    writeFileSync(join(folder, "changing.txt"), "after, ".repeat(100));
    await expect(run("changed", { resume: true })).rejects.toThrow(CheckpointError);
    await expect(run("changed", { resume: true })).rejects.toThrow("text (sha256): must be that of the saved run");
  });

  test("needs a backend that exists", async () => {
    await expect(run("backend", { backend: "abacus" })).rejects.toThrow(/prefer must be one of .*got abacus/);
  });
});

describe("text", () => {
  const write = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };

  test("is bytes after a document token; the last tenth of each file is held out", () => {
    const text = readText([write("a", "0123456789"), write("b", "abcdefghijklmnopqrst")]);
    const bytes = (content: string): number[] => [documentToken, ...Buffer.from(content)];
    expect([...text.training]).toEqual([...bytes("012345678"), ...bytes("abcdefghijklmnopqr")]);
    expect([...text.heldOut]).toEqual([...bytes("9"), ...bytes("st")]);
    expect(text).toMatchObject({ files: 2, bytes: 30 });
    // printf 0123456789abcdefghijklmnopqrst | sha256sum
    expect(text.sha256).toBe("ce7e7725a0fbe3c046bf34777702e48fe7e1edc35f59ec38475719c72ecc56eb");
  });

  test("is this repository's by default, the same from any folder", () => {
    const here = process.cwd();
    const { sha256, files, training } = readText([]);
    expect(files).toBeGreaterThan(150);
    expect(training[0]).toBe(documentToken);
    // What the build writes there has lines of tens of thousands.
    const longestLine = Math.max(
      ...Buffer.from(training)
        .toString("latin1")
        .split("\n")
        .map(({ length }) => length),
    );
    expect(longestLine).toBeLessThan(2000);
    try {
      process.chdir(tmpdir());
      expect(readText([]).sha256).toBe(sha256);
    } finally {
      process.chdir(here);
    }
  });

  test.each<[string, string | Uint8Array | undefined, new (message: string) => Error, RegExp]>([
    ["empty", "", FormatError, /empty: must hold text, got an empty file/],
    ["short", "too short", FormatError, /must be longer than the context of 16 tokens, got 10/],
    ["hardly", "x".repeat(100), FormatError, /the part held out must be longer than the context of 16 tokens, got 11/],
    ["latin1", Uint8Array.of(0x66, 0xfc, 0x72), FormatError, /latin1: must be UTF-8/],
    ["missing", undefined, ConfigError, /missing: must be a file that can be read, got no such file/],
  ])("that is %s is refused by name, and nothing is written", async (name, content, kind, message) => {
    const path = content === undefined ? join(folder, name) : write(name, content);
    const failed = run(`out-${name}`, { text: [path] });
    await expect(failed).rejects.toThrow(kind);
    await expect(failed).rejects.toThrow(message);
    expect(readdirSync(folder)).not.toContain(`out-${name}`);
  });

  test("decodes whatever a model writes", () => {
    expect(decode([...Buffer.from("é\n"), 0xff, 27, documentToken, 97])).toBe("é\n��\n\n[next document]\n\na");
  });
});

test("entropies equal those worked out by hand", () => {
  // Held out: a then b, a then a. Learned from: a b a b.
  const [a, b] = [97, 98];
  const heldOut = {
    shape: [1, 3],
    inputs: Int32Array.of(a, a, 0),
    targets: Int32Array.of(b, a, -100),
    counted: 2,
  } as const;
  const { uniform, unigram, bigram } = entropiesOf(Int32Array.of(a, b, a, b), [heldOut]);
  expect(uniform).toBeCloseTo(Math.log(260), 12);
  // Targets b, a, b were seen: p(a) = (1 + 1) / (3 + 260), p(b) = (2 + 1) / (3 + 260).
  expect(unigram.crossEntropy).toBeCloseTo(-(Math.log(2 / 263) + Math.log(3 / 263)) / 2, 12);
  expect(unigram.entropy).toBeCloseTo(Math.LN2, 12);
  // After a, b was seen twice: p(b | a) = (2 + 1) / (2 + 260), p(a | a) = 1 / (2 + 260).
  expect(bigram.crossEntropy).toBeCloseTo(-(Math.log(3 / 262) + Math.log(1 / 262)) / 2, 12);
  expect(bigram.entropy).toBeCloseTo(Math.LN2, 12);
});

test("loads are those of the last tenth of the steps, or of the last step of a short run", () => {
  const runOf = (steps: number): number[][] => {
    const history = emptyHistory(1, 2);
    const rates = { learningRate: 1, gradNorm: 1, tokens: 1, loss: 1, auxLoss: 1 };
    for (let step = 0; step < steps; step++) {
      addStep(history, { ...rates, step, loads: new Map([[0, Float32Array.of(step, 1)]]) }, steps);
    }
    return lastLoads(history);
  };
  expect(runOf(30)).toEqual([[27 + 28 + 29, 3]]);
  expect(runOf(25)).toEqual([[23 + 24, 2]]);
  expect(runOf(4)).toEqual([[3, 1]]);
});

describe("options", () => {
  test("are read", () => {
    const given = "--resume --steps 7 --seed 0 --aux 0 --backend cpu --out there --text a --text b".split(" ");
    const text = ["a", "b"];
    expect(readOptions(given)).toEqual({ resume: true, steps: 7, seed: 0, aux: 0, backend: "cpu", out: "there", text });
    expect(readOptions([])).toEqual({ resume: false, out: "out", text: [] });
    expect(readOptions(["--help"])).toBe("help");
    for (const option of given.filter((word) => word.startsWith("--"))) expect(usage).toContain(option);
  });

  test.each([
    [["--step", "7"], /Unknown option '--step'/],
    [["file"], /Unexpected argument 'file'/],
    [["--steps", "0"], /--steps: must be an integer from 1 to 4294967295, got "0"/],
    [["--seed", "1.5"], /--seed: must be an integer/],
    [["--aux", "-1"], /--aux/],
    [["--aux", "much"], /--aux: must be a number of at least 0, got "much"/],
    [["--out", ""], /--out: must name a folder/],
  ])("%j are refused", (args, message) => {
    expect(() => readOptions(args)).toThrow(ConfigError);
    expect(() => readOptions(args)).toThrow(message);
  });
});
