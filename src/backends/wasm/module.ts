// Which of the two builds runs here: relaxed SIMD where the engine has it and computes what it must, else SIMD128.
import { BackendError } from "../../core/errors.js";
import { relaxed, simd128 } from "./binaries.js";
import type { Exports } from "./engine.js";

export type Build = "relaxed" | "simd128";

export interface Compiled {
  readonly build: Build;
  readonly module: WebAssembly.Module;
  /** Why not the faster build; empty if it is the one. */
  readonly why: string;
}

/** @throws BackendError if WebAssembly is forbidden, or the engine runs neither build, or not the one that `only` names */
export async function compile(only: Build | undefined): Promise<Compiled> {
  await expectAllowed();
  const reasons: string[] = [];
  for (const build of only === undefined ? (["relaxed", "simd128"] as const) : [only]) {
    try {
      const module = await WebAssembly.compile(await inflated(build === "relaxed" ? relaxed : simd128));
      const wrong = probe(module);
      if (wrong === 0) return { build, module, why: reasons.join("; ") };
      reasons.push(`${build}: instruction ${wrong} gives wrong values here`);
    } catch (error) {
      reasons.push(`${build}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new BackendError(`wasm: the engine must run WebAssembly with SIMD and threads, got ${reasons.join("; ")}`);
}

/** The empty module, which only a missing WebAssembly or a page's policy refuses. */
async function expectAllowed(): Promise<void> {
  try {
    await WebAssembly.compile(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  } catch (cause) {
    throw new BackendError(
      `wasm: WebAssembly must be there and allowed, got ${cause instanceof Error ? cause.message : String(cause)}; ` +
        `where the page has a Content-Security-Policy, add 'wasm-unsafe-eval' to its script-src`,
      { cause },
    );
  }
}

/** Both before and after an optimizing compiler would step in: the first calls and many. */
function probe(module: WebAssembly.Module): number {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
  const exports = instantiate(module, memory);
  for (let call = 0; call < 100; call++) {
    const wrong = exports.probe(1);
    if (wrong !== 0) return wrong;
  }
  return 0;
}

export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
}

async function inflated(base64: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}
