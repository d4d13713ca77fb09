// One token per batch row behind a cache, recorded: the host writes ids and tables, and a single call computes.
import type { KVCache } from "../attention/cache/kv-cache.js";
import { sequencePositions, type Positions, type Step } from "../attention/positions.js";
import { tensor } from "../tensor/create.js";
import { record, type Recording } from "../tensor/record.js";
import { keep, type NotAPromise } from "../tensor/scope.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Decoder } from "./decoder.js";
import { flatIds } from "./token-ids.js";

interface Recorded<T> {
  readonly ids: Tensor;
  readonly step: Step;
  readonly recording: Recording<T>;
}

/**
 * Gives the bits of `model.forward` with one token per row. The first run records; so does one that finds the cache with larger pools or
 * another batch. What it holds, the cache's pools among it, stays alive until `dispose` or the next recording.
 */
export class DecodeStep<T> implements Disposable {
  readonly #model: Decoder;
  readonly #cache: KVCache;
  readonly #then: (logits: Tensor) => NotAPromise<T>;
  #recorded: Recorded<T> | undefined;

  /** @param then what to make of the logits f32 [B, 1, V]; recorded too, so it neither reads nor writes on the host */
  constructor(model: Decoder, cache: KVCache, then: (logits: Tensor) => NotAPromise<T>) {
    this.#model = model;
    this.#cache = cache;
    this.#then = then;
  }

  /**
   * Reads one token per batch row into the cache.
   * @param positions where the tokens stand, [B, 1]; by default each row goes on where the cache ends
   * @returns what `then` returned when it was recorded; overwritten by the next run, freed with this object
   * @throws IndexError if an id is outside the vocabulary, ShapeError unless there is one per row, CapacityError if the cache is full
   */
  run(ids: ArrayLike<number>, positions?: Positions): T {
    const cache = this.#cache;
    const flat = flatIds(
      Array.from(ids, (id) => [id]),
      this.#model.config.vocabSize,
    );
    const held = cache.lengths;
    const where = positions ?? sequencePositions(ids.length, 1, { start: held });
    const step = cache.begin(where, this.#recorded?.step);
    try {
      if (step === this.#recorded?.step) {
        this.#recorded.ids.write(flat);
        this.#recorded.recording.run();
        return this.#recorded.recording.result;
      }
      this.dispose();
      this.#recorded = this.#record(step, flat);
      return this.#recorded.recording.result;
    } catch (error) {
      // The tokens of a pass that failed have slots, but no keys in them.
      held.forEach((length, row) => cache.truncateTo(length, row));
      throw error;
    }
  }

  dispose(): void {
    if (this.#recorded === undefined) return;
    const { ids, step, recording } = this.#recorded;
    this.#recorded = undefined;
    recording.dispose();
    for (const made of [ids, step.rows, step.slots, step.queries]) made.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #record(step: Step, flat: Int32Array): Recorded<T> {
    const model = this.#model;
    const made = [step.rows, step.slots, step.queries].map(keep);
    try {
      // Inside the recording no RoPE table can be made.
      for (const { selfAttn } of model.layers) selfAttn.rope.tableFor(step);
      const ids = keep(tensor(model.backend, flat, [flat.length, 1]));
      made.push(ids);
      const recording = record(
        model.backend,
        () => this.#then(model.runStep(ids, { step, cache: this.#cache })) as never,
      );
      return { ids, step, recording };
    } catch (error) {
      for (const tensor of made) tensor.dispose();
      throw error;
    }
  }
}
