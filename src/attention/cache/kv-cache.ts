// What a cache of keys and values is: pools of slots, and tables that say which slot holds which token. Caches differ in which slot the
// next token gets and in what the tables list; none ever moves a key or a value.
import type { PackedTensor } from "../../tensor/packed-tensor.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Positions, Step } from "../positions.js";

export interface Pool {
  /** [N, Hkv, d] */
  readonly k: Tensor | PackedTensor;
  /** [N, Hkv, d] */
  readonly v: Tensor | PackedTensor;
}

export interface KVCache extends Disposable {
  /** Most tokens per batch row. */
  readonly maxLength: number;
  /** How many tokens the text of each batch row has so far; a cache that forgets counts those that it gave up too. */
  readonly lengths: readonly number[];
  /**
   * Takes slots for the next tokens and writes the tables; once per forward pass, on the host. The step belongs to the innermost scope.
   * @param before an earlier step of this cache, for as many tokens. Where all that a recording of it holds still serves (its tables, the
   *   pools, its length), its tables are written anew and it is returned itself; any other answer means: record again
   * @throws CapacityError if a row would grow over `maxLength`, IndexError if a token would see what the cache has given up; nothing has
   *   changed then
   */
  begin(next: Positions, before?: Step): Step;
  /** Keys and values of one layer. */
  pool(layer: number): Pool;
  /** Forgets all tokens of a row (or of every row) after the first `length`. @throws IndexError */
  truncateTo(length: number, row?: number): void;
  /** Forgets the last `count` tokens of a row (or of every row). @throws IndexError */
  removeLast(count: number, row?: number): void;
  /** Makes `rows` the new batch: reorders, drops and repeats rows; repeated ones share what they hold. @throws IndexError */
  select(rows: readonly number[]): void;
  /**
   * What the cache holds, as plain tensors f32 and i32: its tokens, and of each layer the slots in use, as they are stored. They are the
   * caller's, outside of any scope; the cache goes on.
   */
  save(): Promise<Readonly<Record<string, Tensor>>>;
  /**
   * Takes what a cache of the same kind and options saved, in place of all it holds. The tensors stay the caller's.
   * @throws ConfigError if window or sinks are others, CheckpointError that names a tensor which is missing, not taken or of another shape,
   *   CapacityError if a text is longer than `maxLength`; nothing has changed then
   */
  load(saved: Readonly<Record<string, Tensor>>): Promise<void>;
  dispose(): void;
}
