// blocks.json: what the gguf package, ggml and torch make of the same numbers, by blocks.py.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

interface Written {
  readonly bytes: string;
  readonly read: string;
  readonly drawn: string;
  readonly drawnRead: string;
  readonly edges?: string;
}
interface Golden {
  readonly given: string;
  readonly edges: string;
  readonly types: Readonly<Record<string, Written>>;
  readonly fp8: Readonly<Record<string, { readonly read: string; readonly given: string; readonly codes: string }>>;
}

export const golden = JSON.parse(readFileSync(resolve(import.meta.dirname, "blocks.json"), "utf8")) as Golden;
export const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(Buffer.from(base64, "base64"));
export const floatsOf = (base64: string): Float32Array<ArrayBuffer> => new Float32Array(bytesOf(base64).buffer);
