// From files to tokens: the bytes of UTF-8 text, and one special token before each document. The last tenth of every file is held out.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, FormatError } from "qwen-blocks";
import { splitTokens, type TokenIds } from "qwen-blocks/train";

/** Token ids 0 to 255 are bytes; four specials follow, of which text uses this one, and three are left for what comes later. */
export const documentToken = 256;
export const vocabSize = 260;

export interface Text {
  readonly name: string;
  readonly files: number;
  readonly bytes: number;
  /** Of all files' bytes in order: `cat FILES | sha256sum` gives the same. */
  readonly sha256: string;
  readonly training: Int32Array;
  readonly heldOut: Int32Array;
}

const repository = fileURLToPath(new URL("../../", import.meta.url));
const heldOutFraction = 0.1;
/** Differs from machine to machine. */
const madeByTheBuild = ["docs/api/", "src/backends/wasm/binaries.ts"];

/**
 * @param paths files to read; the repository's README, docs and sources if there are none
 * @throws ConfigError if a file cannot be read; FormatError if one is empty or not UTF-8
 */
export function readText(paths: readonly string[]): Text {
  const files = paths.length > 0 ? paths : repositoryFiles();
  const hash = createHash("sha256");
  const training: TokenIds[] = [];
  const heldOut: TokenIds[] = [];
  let bytes = 0;
  for (const path of files) {
    const content = readUtf8(path);
    hash.update(content);
    bytes += content.length;
    const parts = splitTokens(content, heldOutFraction);
    training.push(parts.training);
    if (parts.validation.length > 0) heldOut.push(parts.validation);
  }
  return {
    name: paths.length > 0 ? paths.join(", ") : "the docs and sources of qwen-blocks",
    files: files.length,
    bytes,
    sha256: hash.digest("hex"),
    training: join(training),
    heldOut: join(heldOut),
  };
}

/** @throws FormatError if there is not one window of the context in each part */
export function checkLength({ name, training, heldOut }: Text, contextLength: number): void {
  for (const [part, tokens] of Object.entries({ "to learn from": training, "held out": heldOut })) {
    if (tokens.length > contextLength) continue;
    throw new FormatError(
      `${name}: the part ${part} must be longer than the context of ${contextLength} tokens, got ${tokens.length}; give more text`,
    );
  }
}

/** Tokens as text. Bytes that are no UTF-8, and control characters, become "�": a half-trained model writes both. */
export function decode(tokens: readonly number[]): string {
  const documents: number[][] = [[]];
  for (const token of tokens) {
    if (token < documentToken) documents[documents.length - 1].push(token);
    else documents.push([]);
  }
  const texts = documents.map((bytes) => new TextDecoder().decode(Uint8Array.from(bytes)));
  return texts.join("\n\n[next document]\n\n").replace(/[^\P{Cc}\n\t]/gu, "�");
}

function readUtf8(path: string): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    const { code = "" } = cause as NodeJS.ErrnoException;
    const found = code === "ENOENT" ? "no such file" : code === "EISDIR" ? "a folder" : `error ${code}`;
    throw new ConfigError(`${path}: must be a file that can be read, got ${found}`, { cause });
  }
  if (bytes.length === 0) throw new FormatError(`${path}: must hold text, got an empty file`);
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${path}: must be UTF-8 text, got other bytes; convert it first`, { cause });
  }
  return bytes;
}

/** One text of many, each after its document token. */
function join(documents: readonly TokenIds[]): Int32Array {
  const tokens = new Int32Array(documents.reduce((total, { length }) => total + 1 + length, 0));
  let at = 0;
  for (const document of documents) {
    tokens[at] = documentToken;
    tokens.set(document, at + 1);
    at += 1 + document.length;
  }
  return tokens;
}

/** In the same order on every machine. */
function repositoryFiles(): string[] {
  const found = ["docs", "src"].flatMap((folder) =>
    readdirSync(repository + folder, { recursive: true, encoding: "utf8" }).map((name) => `${folder}${sep}${name}`),
  );
  return ["README.md", ...found]
    .map((name) => name.split(sep).join("/"))
    .filter((name) => /\.(md|ts)$/.test(name) && !madeByTheBuild.some((made) => name.startsWith(made)))
    .map((name) => ({ name, stats: statSync(repository + name, { throwIfNoEntry: false }) }))
    .filter(({ stats }) => stats !== undefined && stats.size > 0)
    .map(({ name }) => name)
    .sort()
    .map((name) => relative(process.cwd(), repository + name));
}
