// Who is listening while ops run: at most one tape, and any number of watchers. One object for all entry points.
import type { Attr } from "../core/view.js";
import type { PackedTensor } from "./packed-tensor.js";
import type { Tensor } from "./tensor.js";

export type AnyHandle = Tensor | PackedTensor | undefined;

/** An op that a caller asked for, with what its gradient needs. `composite` replays it out of smaller ops. */
export interface TapeEntry {
  readonly name: string;
  readonly attrs: Readonly<Record<string, Attr>>;
  readonly inputs: readonly AnyHandle[];
  readonly outputs: readonly AnyHandle[];
  readonly gradient?: Gradient;
  readonly composite?: (inputs: readonly AnyHandle[]) => readonly AnyHandle[];
}
export type Gradient = (
  inputs: readonly AnyHandle[],
  outputs: readonly AnyHandle[],
  grads: readonly (Tensor | undefined)[],
  wants: readonly boolean[],
) => readonly (Tensor | undefined)[];

export interface TapeListener {
  ran(entry: TapeEntry): void;
  /** Called before a writer runs; refuses it if a gradient would be lost. */
  wrote(name: string, inputs: readonly AnyHandle[]): void;
}

/** How an op was carried out: by a kernel, by its composite, or by its composite after the kernel declined. */
export type Means = "native" | "composed" | "declined";
export interface Watcher {
  /** A choice between ways to compute the same, in words. */
  chose(what: string): void;
  began(name: string, inputs: readonly AnyHandle[], attrs: Readonly<Record<string, Attr>>): Ended;
}
export type Ended = (means: Means, outputs: readonly AnyHandle[]) => void;

export const ambient: {
  tape: TapeListener | undefined;
  readonly watchers: Watcher[];
} = { tape: undefined, watchers: [] };

/** Says which of several ways is taken, so that no pick is silent. */
export function choose(what: string): void {
  for (const watcher of ambient.watchers) watcher.chose(what);
}

/** Runs `fn` with another tape listening (or none), and puts the former one back. */
export function withTape<T>(tape: TapeListener | undefined, fn: () => T): T {
  const former = ambient.tape;
  ambient.tape = tape;
  try {
    return fn();
  } finally {
    ambient.tape = former;
  }
}
