// Makes what the page carries, in out/carried: the text of README and docs, and the checkpoint that `npm start` left, in bf16.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { Qwen3, allParameters, configFromJson, configToJson } from "qwen-blocks";
import { cpu } from "qwen-blocks/cpu";
import { loadModel, openCheckpoint, qwen3Names, saveCheckpoint } from "qwen-blocks/io";
import { toyRecipe } from "../train-toy/settings.js";
import { documentToken, readText } from "../train-toy/text.js";
import type { ToyFile } from "./lab/carried.js";

const root = resolve(import.meta.dirname, "../..");

/** Writes the files. @param checkpoint a folder that `npm start` wrote; where there is none the page begins with random weights */
export async function carry(checkpoint: string, folder: string): Promise<ToyFile> {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  const text = readText(["README.md", ...docs.map((name) => `docs/${name}`)].map((name) => join(root, name)));
  writeFileSync(join(folder, "text.bin"), Uint16Array.from([...text.training, ...text.heldOut]));
  const { contextLength, batchSize, weightDecay, maxGradNorm, defaults, config } = toyRecipe;
  const trained = existsSync(join(checkpoint, "model.safetensors"));
  const toy: ToyFile = {
    config: trained ? await shorten(checkpoint, folder) : configToJson(config),
    initializerRange: config.initializerRange,
    contextLength,
    batchSize,
    weightDecay,
    maxGradNorm,
    aux: defaults.aux,
    documentToken,
    text: "README and docs of qwen-blocks",
    trainingTokens: text.training.length,
    checkpointBytes: trained ? statSync(join(folder, "model.safetensors")).size : 0,
    ...(!trained && {
      untrained: "the page was built without a checkpoint: npm start makes one, then npm run demo:build",
    }),
  };
  rmSync(join(folder, "config.json"), { force: true });
  writeFileSync(join(folder, "toy.json"), JSON.stringify(toy));
  return toy;
}

/** The checkpoint in half the bytes. @returns its config.json */
async function shorten(from: string, to: string): Promise<unknown> {
  await using backend = await cpu();
  const checkpoint = await openCheckpoint(from);
  const config = configFromJson(checkpoint.config);
  const names = qwen3Names(config);
  const model = await loadModel(backend, checkpoint, (w) => new Qwen3(w, config), { names });
  await saveCheckpoint(to, allParameters(model), configToJson(config), { dtype: "bf16", layout: "fused", names });
  return checkpoint.config;
}

if (process.argv[1] === import.meta.filename) {
  const checkpoint = join(root, "out/checkpoint");
  const { untrained, checkpointBytes } = await carry(checkpoint, join(root, "out/carried"));
  console.log(
    untrained === undefined
      ? `The page carries ${relative(root, checkpoint)}, ${(checkpointBytes / 1e6).toFixed(1)} MB.`
      : `No ${relative(root, checkpoint)}: the page will begin with random weights. To give it trained ones, run npm start first (1 to 2 minutes).`,
  );
}
