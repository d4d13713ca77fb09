// The product that all peers compute, (m x k) (k x n), and how to find one in the user's folder.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

export interface ProductSize {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

/** What a peer's process is given. */
export interface ProductTask extends ProductSize {
  readonly threads: number;
  /** Where the peers are installed. */
  readonly folder: string;
}

/** Small whole numbers, so that every order of summing gives the same result. */
export const left = (row: number, column: number): number => ((row * 7 + column * 3) % 11) - 5;
export const right = (row: number, column: number): number => ((row * 5 + column * 2) % 13) - 6;

export function matrix(rows: number, columns: number, at: (row: number, column: number) => number) {
  return Float32Array.from({ length: rows * columns }, (_, i) => at(Math.floor(i / columns), i % columns));
}

/** The corners and the middle of the result [m, n]. */
export function probeOf(y: ArrayLike<number>, { m, n }: ProductSize): number[] {
  return [0, n - 1, Math.floor((m * n) / 2), (m - 1) * n, m * n - 1].map((i) => y[i]);
}

/** A package of the folder, and its version. @throws Error if it is not installed there, or does not load */
export async function load(folder: string, name: string): Promise<{ module: unknown; version: string }> {
  const require = createRequire(join(resolve(folder), "package.json"));
  const module = (await import(pathToFileURL(require.resolve(name)).href)) as unknown;
  const about = readFileSync(join(resolve(folder), "node_modules", name, "package.json"), "utf8");
  return { module, version: (JSON.parse(about) as { version: string }).version };
}

/** @throws Error unless one thread is asked for */
export function expectOneThread(threads: number, why: string): void {
  if (threads !== 1) throw new Error(why);
}
