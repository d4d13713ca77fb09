// Everything that the page can ask for, over one model on one backend at a time.
import { Random, allParameters, disposeAll, type Backend, type Qwen3 } from "qwen-blocks";
import { packModel } from "qwen-blocks/quant";
import { batchesInOrder, evaluate, sampleBatch, type Batch } from "qwen-blocks/train";
import { sharing } from "../../train-toy/sharing.js";
import { attend } from "./attending.js";
import { open, openBest } from "./backends.js";
import { benchFrom, carriedBench, disposeBench, randomBench, snapshotOf, type Bench, type Steering } from "./bench.js";
import { describe, fetchCarried, type Carried } from "./carried.js";
import { compare } from "./comparing.js";
import type { Calls, Choice, Events, Running, Stored, Token, TrainOptions, Usage, WriteOptions } from "./messages.js";
import { Turns } from "./turns.js";
import { write } from "./writing.js";

type Tell = <E extends keyof Events>(event: E, data: Events[E]) => void;

/** Windows for the loss beside a format: enough for two digits. */
const heldOutBatches = 4;
/** Tokens are told in groups, so that a fast backend does not drown the page in messages. */
const tellEvery = 40;

interface Job {
  readonly stop: AbortController;
  readonly ended: Promise<unknown>;
}
type Jobs = Record<"write" | "train", Job>;

const idle = (): Job => ({ stop: new AbortController(), ended: Promise.resolve() });

export class Lab implements Calls {
  readonly #tell: Tell;
  readonly #turns = new Turns();
  readonly #steering: Steering = { coefficient: 0 };
  readonly #jobs: Jobs = { write: idle(), train: idle() };
  readonly #windows = new Random(7);
  #carried: Carried | undefined;
  #bench: Bench | undefined;
  #format = "f32";
  /** A packed copy: in which format, and at which step of the model. */
  #packed: { readonly model: Qwen3; readonly format: string; readonly step: number } | undefined;

  constructor(tell: Tell) {
    this.#tell = tell;
  }

  start(base: string): ReturnType<Calls["start"]> {
    return this.#turns.change(async () => {
      const carried = await fetchCarried(base, (done, total) => this.#progress("Loading the model", done, total));
      this.#carried = carried;
      this.#steering.coefficient = carried.aux;
      const { backend, running } = await openBest();
      this.#bench = await carriedBench(backend, carried, this.#steering);
      return { toy: describe(carried), running };
    });
  }

  async open(choice: Choice): Promise<Running> {
    return this.#change(async () => {
      const next = await open(choice); // if that fails, what runs goes on
      const { bench, lost } = await this.#moved(next).catch(async (error: unknown) => {
        await next[Symbol.asyncDispose]();
        throw error;
      });
      const before = this.#theBench.backend;
      this.#replace(bench);
      await before[Symbol.asyncDispose]();
      return { choice, info: next.info, passedOver: {}, lost };
    });
  }

  /** The model as it is now on another backend; the one that the page carries where a backend that died took it along. */
  async #moved(to: Backend): Promise<{ bench: Bench; lost?: string }> {
    const found = await snapshotOf(this.#theBench).catch((error: Error) => error);
    if (!(found instanceof Error)) return { bench: benchFrom(to, found, this.#theCarried, this.#steering) };
    return { bench: await carriedBench(to, this.#theCarried, this.#steering), lost: found.message };
  }

  async probe(choice: Choice): Promise<string> {
    try {
      const backend = await open(choice);
      await backend[Symbol.asyncDispose]();
      return "";
    } catch (error) {
      return (error as Error).message;
    }
  }

  store(format: string): Promise<Stored> {
    return this.#change(async () => {
      const before = this.#format;
      this.#format = format;
      try {
        const model = await this.#writer();
        const bytes = [...allParameters(model).values()].reduce((total, { byteLength }) => total + byteLength, 0);
        const loss = await evaluate(model, this.#heldOut().slice(0, heldOutBatches));
        return { format, bytes, loss };
      } catch (error) {
        this.#format = before;
        throw error;
      }
    });
  }

  async write(options: WriteOptions): Promise<boolean> {
    return this.#run("write", async (stop) => {
      const model = await this.#writer();
      let waiting: Token[] = [];
      let count = 0;
      const began = performance.now();
      let told = began;
      const flush = (): void => {
        const now = performance.now();
        if (waiting.length > 0)
          this.#tell("wrote", { tokens: waiting, tokensPerSecond: (1000 * count) / (now - began) });
        [waiting, told] = [[], now];
      };
      for await (const token of write(model, options, this.#theCarried.contextLength, stop)) {
        waiting.push(token);
        count++;
        if (performance.now() - told > tellEvery) flush();
      }
      flush();
    });
  }

  async train({ taken, steps }: TrainOptions): Promise<boolean> {
    return this.#run("train", async (stop) => {
      const { trainer } = this.#theBench;
      const { training, batchSize, contextLength } = this.#theCarried;
      for (let done = taken + 1; done <= steps && !stop.aborted; done++) {
        const { coefficient } = this.#steering;
        const began = performance.now();
        const report = await trainer.step([sampleBatch(training, { batchSize, contextLength }, this.#windows)]);
        this.#tell("stepped", {
          step: trainer.steps,
          done,
          steps,
          loss: report.loss,
          auxLoss: report.auxLoss,
          coefficient,
          loads: [...report.loads.values()],
          tokensPerSecond: (1000 * report.tokens) / (performance.now() - began),
        });
      }
    });
  }

  async stop(what: "write" | "train"): Promise<void> {
    const { stop, ended } = this.#jobs[what];
    stop.abort();
    await ended; // a step under way is told before the answer
  }

  async balance(coefficient: number): Promise<void> {
    this.#steering.coefficient = coefficient;
  }

  async reset(to: "random" | "carried"): Promise<void> {
    await this.#change(async () => {
      const { backend } = this.#theBench;
      this.#replace(
        to === "random"
          ? randomBench(backend, this.#theCarried, Math.floor(Math.random() * 2 ** 32), this.#steering)
          : await carriedBench(backend, this.#theCarried, this.#steering),
      );
    });
  }

  attend(tokens: readonly number[]): ReturnType<Calls["attend"]> {
    return this.#turns.use(() => attend(this.#theBench.model, tokens));
  }

  compare(): ReturnType<Calls["compare"]> {
    return this.#change(async () => {
      const [batch] = this.#heldOut();
      const snapshot = await snapshotOf(this.#theBench);
      return compare(snapshot, this.#theCarried, batch, (done, total) => this.#progress("Comparing", done, total));
    });
  }

  async usage(): Promise<Usage> {
    return this.#theBench.backend.memory.usage();
  }

  /** The model in the chosen format, packed anew if it has learned since. */
  async #writer(): Promise<Qwen3> {
    const { model, trainer } = this.#theBench;
    const format = this.#format;
    const step = trainer.steps;
    if (format === "f32") return model;
    if (this.#packed?.format === format && this.#packed.step === step) return this.#packed.model;
    const packed = sharing(model);
    try {
      await packModel(packed, { scheme: format });
    } catch (error) {
      disposeAll(packed);
      throw error;
    }
    if (this.#packed) disposeAll(this.#packed.model);
    this.#packed = { model: packed, format, step };
    return packed;
  }

  #heldOut(): Batch[] {
    const { heldOut, batchSize, contextLength } = this.#theCarried;
    return [...batchesInOrder(heldOut, { batchSize, contextLength })];
  }

  /** Runs a job in place of the one of its kind. @returns false if it was stopped */
  async #run(what: keyof Jobs, job: (stop: AbortSignal) => Promise<void>): Promise<boolean> {
    const before = this.#jobs[what];
    before.stop.abort();
    const stop = new AbortController();
    const run = async (): Promise<void> => {
      await before.ended;
      await this.#turns.use(() => job(stop.signal));
    };
    const ended = run();
    this.#jobs[what] = { stop, ended: ended.catch(() => undefined) };
    try {
      await ended;
    } catch (error) {
      if (!stop.signal.aborted || error !== stop.signal.reason) throw error;
    }
    return !stop.signal.aborted;
  }

  /** Stops all that uses the model, and changes it. */
  #change<T>(job: () => Promise<T>): Promise<T> {
    for (const { stop } of Object.values(this.#jobs)) stop.abort();
    return this.#turns.change(job);
  }

  /** The next model is there before the last one goes: where it cannot be made, what runs goes on. */
  #replace(bench: Bench): void {
    const [before, packed] = [this.#theBench, this.#packed];
    [this.#bench, this.#packed] = [bench, undefined];
    if (packed) disposeAll(packed.model);
    disposeBench(before);
  }

  #progress(what: string, done: number, total: number): void {
    this.#tell("progress", { what, done, total });
  }

  get #theBench(): Bench {
    if (this.#bench === undefined) throw new Error("lab: the model must be there, got a call before start");
    return this.#bench;
  }

  get #theCarried(): Carried {
    if (this.#carried === undefined) throw new Error("lab: the text must be there, got a call before start");
    return this.#carried;
  }
}
