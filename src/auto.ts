// Opens the best backend there is, and says why not a better one. Nothing else in the library chooses.
import type { Backend } from "./backends/backend.js";
import { BackendError } from "./core/errors.js";

/** The backends of this version, best first. */
export type BackendName = "webgpu" | "wasm" | "cpu";

export interface Opened {
  readonly backend: Backend;
  /** Backends that were tried before this one, and why each was passed over. */
  readonly passedOver: readonly { readonly name: BackendName; readonly reason: string }[];
}

export interface OpenOptions {
  /** Tried before all others. */
  readonly prefer?: BackendName;
}

/** @param named by the caller, who then gets it however slow it is */
type Opener = (named: boolean) => Promise<Backend>;

const openers: Readonly<Record<BackendName, Opener>> = {
  webgpu: async (named) => {
    const backend = await (await import("./backends/webgpu/index.js")).webgpu();
    const { fallback } = backend.info;
    if (fallback === undefined || named) return backend;
    await backend[Symbol.asyncDispose]();
    throw new BackendError(`webgpu: a GPU must compute, but ${fallback}; openBackend({ prefer: "webgpu" }) takes it`);
  },
  wasm: async () => (await import("./backends/wasm/index.js")).wasm(),
  cpu: async () => (await import("./backends/cpu/index.js")).cpu(),
};

/** @throws BackendError that lists every reason if none can be opened, or if `prefer` names none of them */
export async function openBackend({ prefer }: OpenOptions = {}): Promise<Opened> {
  const names = Object.keys(openers) as BackendName[];
  if (prefer !== undefined && !names.includes(prefer)) {
    throw new BackendError(`openBackend: prefer must be one of ${names.join(", ")}, got ${String(prefer)}`);
  }
  const order = prefer === undefined ? names : [prefer, ...names.filter((name) => name !== prefer)];
  const passedOver: { name: BackendName; reason: string }[] = [];
  for (const name of order) {
    try {
      return { backend: await openers[name](name === prefer), passedOver };
    } catch (error) {
      passedOver.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  const reasons = passedOver.map(({ name, reason }) => `${name}: ${reason}`).join("; ");
  throw new BackendError(`openBackend: no backend could be opened (${reasons})`);
}
