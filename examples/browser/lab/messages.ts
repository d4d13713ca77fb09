// What the page and the worker say to each other. Everything is plain data; the worker imports the library, the page only these types.

/** The backends that a visitor can choose. */
export type Choice = "webgpu" | "wasm-threads" | "wasm-one" | "gpujs" | "cpu";

/** What computes, and where the model came from. */
export interface Running {
  readonly choice: Choice;
  /** The backend's words about itself: threads, build, adapter, and why not more. */
  readonly info: Readonly<Record<string, string | number>>;
  /** Why others were passed over when the best one was looked for. */
  readonly passedOver: Readonly<Partial<Record<Choice, string>>>;
  /** Why the model is the carried one again: what it had learned could not be read from the backend before. */
  readonly lost?: string;
}

/** The model that the page was built with, or the lack of one. */
export interface Toy {
  readonly vocabSize: number;
  readonly contextLength: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numExperts: number;
  readonly numExpertsPerTok: number;
  readonly documentToken: number;
  readonly text: string;
  /** Why there is no trained checkpoint; undefined where there is one. */
  readonly untrained: string | undefined;
}

/** Which experts a token visited, best first: [layer][slot]. */
export interface Visits {
  readonly experts: readonly (readonly number[])[];
  readonly weights: readonly (readonly number[])[];
}

export interface Token extends Visits {
  readonly id: number;
  /** It is of the prompt. */
  readonly given: boolean;
}

export interface WriteOptions {
  /** Token ids; the document token may open them. */
  readonly prompt: readonly number[];
  readonly tokens: number;
  readonly temperature: number;
  readonly seed: number;
}

export interface TrainOptions {
  /** Steps of this run that were taken before a change of the model stopped it. */
  readonly taken: number;
  /** Steps of the whole run. */
  readonly steps: number;
}

export interface Usage {
  readonly buffers: number;
  readonly bytes: number;
  readonly scratch: number;
}

/** How well a way to store the weights keeps them. */
export interface Stored {
  readonly format: string;
  readonly bytes: number;
  /** Nats per held-out token. */
  readonly loss: number;
}

/** Attention weights of a short text. */
export interface Attended {
  readonly tokens: readonly number[];
  /** [layer][head]: [T, T], row t what token t sees. */
  readonly weights: readonly (readonly Float32Array[])[];
}

/** The same model and text on one backend. */
export interface Compared {
  readonly choice: Choice;
  /** Why it did not take part. */
  readonly reason?: string;
  /** Nats per held-out token. */
  readonly loss?: number;
  /** Largest difference of a logit from that of cpu. */
  readonly difference?: number;
  readonly milliseconds?: number;
}

/** Functions of the worker, called by message. Each may reject with the library's error. */
export interface Calls {
  /** Loads what lies beside the page, and opens the best backend. @param base the page's address */
  start(base: string): Promise<{ readonly toy: Toy; readonly running: Running }>;
  /** Moves the model, as it is now, to another backend. */
  open(choice: Choice): Promise<Running>;
  /** Opens and closes a backend beside the one that runs. @returns why it cannot be had, or "" */
  probe(choice: Choice): Promise<string>;
  /** The model that writes, in another format. */
  store(format: string): Promise<Stored>;
  /** Tokens come as events. @returns false if it was stopped before the last one */
  write(options: WriteOptions): Promise<boolean>;
  /** Steps come as events. @returns false if it was stopped before the last one */
  train(options: TrainOptions): Promise<boolean>;
  stop(what: "write" | "train"): Promise<void>;
  /** Weight of the load-balancing loss from the next step on. */
  balance(coefficient: number): Promise<void>;
  /** Back to weights that nobody trained, or to those that the page was built with. */
  reset(to: "random" | "carried"): Promise<void>;
  attend(tokens: readonly number[]): Promise<Attended>;
  compare(): Promise<readonly Compared[]>;
  usage(): Promise<Usage>;
}

/** What the worker says unasked. */
export interface Events {
  progress: { readonly what: string; readonly done: number; readonly total: number };
  wrote: { readonly tokens: readonly Token[]; readonly tokensPerSecond: number };
  stepped: Step;
}

export interface Step {
  /** Steps of this model so far, since it was loaded or made. */
  readonly step: number;
  readonly done: number;
  readonly steps: number;
  readonly loss: number;
  readonly auxLoss: number;
  readonly coefficient: number;
  /** [layer][expert]: slots that chose the expert. */
  readonly loads: readonly Float32Array[];
  readonly tokensPerSecond: number;
}

export interface Call {
  readonly id: number;
  readonly name: keyof Calls;
  readonly args: readonly unknown[];
}

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } }
  | { [E in keyof Events]: { readonly event: E; readonly data: Events[E] } }[keyof Events];
