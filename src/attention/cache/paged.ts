// A cache in pages: a text's slots lie together, texts that begin alike share them, and a beginning can be kept for prompts to come.
import type { Backend } from "../../backends/backend.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { DenseCacheOptions } from "./dense.js";
import type { HeldRow } from "./held-row.js";
import { SlotCache } from "./slot-cache.js";

export interface PagedCacheOptions extends DenseCacheOptions {
  /** Slots of a page; 16 unless given. */
  readonly pageSize?: number;
}

/** After Kwon et al. 2023 (vLLM). A page belongs to the texts that hold a slot of it; none is ever copied. */
export class PagedCache extends SlotCache {
  readonly #prefixes = new Map<HeldRow, Int32Array>();

  /**
   * @throws ConfigError if a size is no positive integer, window or sinks are negative, or a scheme does not store each token by itself; BackendError if the
   *   backend does not encode it
   */
  constructor(backend: Backend, options: PagedCacheOptions) {
    const { window = 0, sinks = 0, pageSize = 16 } = options;
    super("PagedCache", backend, options, { window, sinks, forgets: false }, pageSize);
  }

  /**
   * Keeps the first tokens of a row for prompts that begin with the same ids, whatever becomes of the row.
   * @param ids of these tokens; the row has read them at positions from 0 on
   * @returns what frees them again when it is disposed
   * @throws IndexError if the row does not hold as many
   */
  keepPrefix(ids: ArrayLike<number>, row = 0): Disposable {
    const kept = this.keep(row, ids.length);
    this.#prefixes.set(kept, Int32Array.from(ids));
    return {
      [Symbol.dispose]: () => {
        if (this.#prefixes.delete(kept)) this.drop(kept);
      },
    };
  }

  /**
   * Lets an empty row begin with as many of a prompt's tokens as some kept prefix has, all but the last at most: a pass over the rest gives the
   * logits that follow.
   * @returns how many these are; read the prompt from there on
   * @throws IndexError unless the row exists and is empty
   */
  reusePrefix(ids: ArrayLike<number>, row = 0): number {
    let best: HeldRow | undefined;
    let most = 0;
    for (const [kept, prefix] of this.#prefixes) {
      const shared = prefix.findIndex((id, i) => id !== ids[i]);
      const length = Math.min(shared < 0 ? prefix.length : shared, ids.length - 1);
      if (length > most) [best, most] = [kept, length];
    }
    this.resume(row, best, most);
    return most;
  }

  /** Prefixes are no part of it, and are dropped. */
  override async load(saved: Readonly<Record<string, Tensor>>): Promise<void> {
    await super.load(saved);
    this.#prefixes.clear();
  }
}
