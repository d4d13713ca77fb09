// JSON from strangers. `JSON.parse` keeps the last of two equal keys without a word, and builds many times more memory than text out of deep
// nesting; both are looked for in the text before it is parsed.
import { FormatError } from "../core/errors.js";

/**
 * Parses JSON that must name no key twice and nest no deeper than `maxDepth`.
 *
 * @throws FormatError that begins with `where`.
 */
export function parseJson(where: string, text: string, maxDepth: number): unknown {
  checkStructure(where, text, maxDepth);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new FormatError(`${where}: must be JSON; ${(cause as Error).message}`, { cause });
  }
}

/** Decodes UTF-8. @throws FormatError */
export function decodeText(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${where}: must be UTF-8`, { cause });
  }
}

export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A string from a file as messages show it: quoted, and cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}

/** A value from a file as messages show it. */
export function show(value: unknown): string {
  if (typeof value === "string") return quote(value);
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}

const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Walks over the tokens that matter. Text that is no JSON at all passes here and fails in the parser. */
function checkStructure(where: string, text: string, maxDepth: number): void {
  const open: (Set<string> | undefined)[] = []; // the keys of each object around here; undefined for a list
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (isKey(text, end)) addKey(where, open.at(-1), text.slice(at, end));
      at = end;
      continue;
    }
    if (code === OPEN_OBJECT || code === OPEN_LIST) {
      open.push(code === OPEN_OBJECT ? new Set() : undefined);
      if (open.length > maxDepth) throw new FormatError(`${where}: must nest at most ${maxDepth} levels deep`);
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    at++;
  }
}

function addKey(where: string, keys: Set<string> | undefined, literal: string): void {
  let key: string;
  try {
    key = JSON.parse(literal) as string;
  } catch {
    return; // the parser of the whole text says what is wrong
  }
  if (keys?.has(key)) throw new FormatError(`${where}: must not name ${quote(key)} twice`);
  keys?.add(key);
}

/** Behind the closing quote of the string that begins at `at`. */
function endOfString(text: string, at: number): number {
  for (at++; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at++;
    else if (code === QUOTE) return at + 1;
  }
  return text.length;
}

/** In JSON a string is a key if and only if a colon follows. */
function isKey(text: string, at: number): boolean {
  while (at < text.length && " \t\n\r".includes(text[at])) at++;
  return text.charCodeAt(at) === COLON;
}
