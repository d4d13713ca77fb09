// Record a step once, run it again: the kernel calls are kept with the memory they use.
import type { Backend, Command, Replay } from "../backends/backend.js";
import { DisposedError, RecordingError } from "../core/errors.js";
import { recording, type Held, type Recorder } from "./recording-state.js";
import { handlesIn, keep, scope, type NotAPromise } from "./scope.js";

/**
 * Commands of one step with the memory that they use, what was made before it included. `run` enqueues them again: write the step's inputs
 * before, read `result` after. All of that memory stays alive, and what was made inside nobody else's, until `dispose`.
 */
export interface Recording<T> extends Disposable {
  /** What the recorded function returned; overwritten by each run, freed with the recording. */
  readonly result: T;
  readonly commands: readonly Command[];
  /** @throws DisposedError */
  run(): void;
  dispose(): void;
}

class CommandList implements Recorder {
  readonly commands: Command[] = [];
  readonly #pinned = new Set<Held>();

  command(command: Command): void {
    this.commands.push(command);
  }

  pin(memory: Held): void {
    if (this.#pinned.has(memory)) return;
    memory.hold();
    this.#pinned.add(memory);
  }

  release(): void {
    for (const memory of this.#pinned) memory.release();
  }
}

/**
 * Runs `fn` once on `backend` and keeps its commands. Inside, the host neither reads nor writes; what changes from step to step is an input
 * tensor made before.
 * @throws RecordingError inside another recording, or when the region reads or writes on the host
 */
export function record<T>(backend: Backend, fn: () => NotAPromise<T>): Recording<T> {
  if (recording.into) throw new RecordingError("record: recordings must not be nested, got one inside another");
  const recorder = new CommandList();
  recording.into = recorder;
  let result: T;
  try {
    result = scope(fn as () => never);
  } catch (error) {
    recorder.release();
    throw error;
  } finally {
    recording.into = undefined;
  }
  const handles = handlesIn(result).map(keep);
  const free = (): void => {
    for (const handle of handles) handle.dispose();
    recorder.release();
  };
  let replay: Replay;
  try {
    replay = backend.compile?.(recorder.commands) ?? replayByKernels(backend, recorder.commands);
  } catch (error) {
    free();
    throw error;
  }
  let live = true;
  const dispose = (): void => {
    if (!live) return;
    live = false;
    replay[Symbol.dispose]();
    free();
  };
  return {
    result,
    commands: recorder.commands,
    run(): void {
      if (!live) throw new DisposedError("recording: run was called after dispose; record again");
      replay.run();
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}

function replayByKernels(backend: Backend, commands: readonly Command[]): Replay {
  const { kernels } = backend;
  return {
    run(): void {
      for (const { op, inputs, outputs, attrs } of commands) {
        const kernel = kernels[op] as unknown as (i: unknown, o: unknown, a: unknown) => void;
        kernel(inputs, outputs, attrs);
      }
    },
    [Symbol.dispose](): void {},
  };
}
