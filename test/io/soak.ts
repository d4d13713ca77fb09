// `npm run soak -- [--only KIND] [--runs N] [--seed S] [--path P]`: files from strangers, by the hundred thousand, of every kind or one. Whatever
// the bytes, reading them ends soon, takes memory in proportion, and gives numbers or an error of a named class. Another process reads, so that
// this one can tell a hang from work.
import { fork } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import fc from "fast-check";
import { CheckpointError, ConfigError, FormatError, configFromJson, configToJson, presets } from "qwen-blocks";
import { openCheckpoint, openGguf, openSafetensors, readElements, readTensor } from "qwen-blocks/io";
import { drawnGguf } from "./drawn-gguf.js";
import { rawFile } from "./file-building.js";

type Bytes = Uint8Array<ArrayBuffer>;
type Json = Record<string, unknown>;
type Input =
  | { readonly kind: "safetensors" | "gguf"; readonly file: Bytes }
  | { readonly kind: "config.json"; readonly file: string }
  | { readonly kind: "checkpoint"; readonly files: Readonly<Record<string, Bytes>> };

/** Which errors each kind of input may give. */
const allowed = {
  safetensors: [FormatError],
  gguf: [FormatError, ConfigError, CheckpointError],
  "config.json": [FormatError, ConfigError],
  checkpoint: [FormatError, ConfigError, CheckpointError],
};

const LONGEST_MS = 5_000;
/** What an input may take: the garbage of reading it, and the engine's own (compiled code, the growth of its heap). */
const allowance = (inputBytes: number): number => 2 ** 25 + 200 * inputBytes;

// What is drawn: files that are right, then edited as JSON, then as bytes, so that some get past every check but the last.

/** JSON texts in the place of a value; the one with a comma smuggles in a second key or element. */
const token = fc.oneof(
  fc.constantFrom(..."-1 0 0.5 4 65536 50000000 2147483648 10000000000 9007199254740993 1e999".split(" ")),
  fc.constantFrom(...'null true [] {} "" "F32" "yarn" "x" "__proto__" "../x" [0,4] 1,"x":1 1,"__proto__":1'.split(" ")),
  fc.constantFrom("[".repeat(20_000) + "]".repeat(20_000), '{"a":'.repeat(40) + "1" + "}".repeat(40)),
  fc.json({ maxDepth: 3 }),
);
const edit = fc.record({ place: fc.nat(), action: fc.constantFrom("replace", "remove", "add"), token });

/** The text of `json` after some edits, each at a drawn place. */
function edited(json: Json, edits: readonly { place: number; action: string; token: string }[]): string {
  const copy = structuredClone(json);
  const tokens: string[] = [];
  for (const { place, action, token } of edits) {
    const objects = objectsIn(copy);
    const places = objects.flatMap((object) => Object.keys(object).map((key) => [object, key] as const));
    const [object, key] = places[place % Math.max(places.length, 1)] ?? [copy, "x"];
    if (action === "remove") Reflect.deleteProperty(object, key);
    else object[action === "add" ? `${key}x` : key] = `token ${tokens.push(token) - 1}`;
  }
  return JSON.stringify(copy).replace(/"token (\d+)"/g, (_, index: string) => tokens[Number(index)]);
}

/** The object or list itself, and all inside it. */
function objectsIn(value: unknown): Json[] {
  return typeof value === "object" && value !== null ? [value as Json, ...Object.values(value).flatMap(objectsIn)] : [];
}

const change = fc.record({
  at: fc.oneof(fc.nat(), fc.nat(15)), // the first 8 bytes are the header's length
  byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('0129,:[]{}"\\-.eE '))),
});
/** Mostly nothing, so that other checks are reached too. */
const seldom = <T, N>(something: fc.Arbitrary<T>, nothing: N): fc.Arbitrary<T | N> =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(nothing) }, { weight: 1, arbitrary: something });
const damage = fc.record({ changes: seldom(fc.array(change, { maxLength: 6 }), []), cut: seldom(fc.nat(), null) });

interface Damage {
  readonly changes: readonly { readonly at: number; readonly byte: number }[];
  readonly cut: number | null;
}
function damaged(file: Bytes, { changes, cut }: Damage): Bytes {
  const copy = file.slice(0, cut === null ? file.length : cut % (file.length + 1));
  for (const { at, byte } of changes) if (copy.length > 0) copy[at % copy.length] = byte;
  return copy;
}

const edits = fc.array(edit, { maxLength: 4 });
const fewEdits = seldom(edits, []);
const widths = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, U32: 4, U8: 1 };
const drawnTensor = fc.record({
  dtype: fc.constantFrom(...(Object.keys(widths) as (keyof typeof widths)[])),
  shape: fc.array(fc.nat(4), { maxLength: 3 }),
});

/** A safetensors file: tensors of these names, right at first. */
const safetensors = (names: readonly string[]): fc.Arbitrary<Bytes> =>
  fc
    .tuple(fc.tuple(...names.map(() => drawnTensor)), fewEdits, damage, seldom(fc.nat(255), 0))
    .map(([tensors, edits, damage, fill]) => {
      const header: Json = { __metadata__: { format: "pt" } };
      let end = 0;
      tensors.forEach(({ dtype, shape }, i) => {
        const begin = end;
        end += shape.reduce((bytes, extent) => bytes * extent, widths[dtype]);
        header[names[i]] = { dtype, shape, data_offsets: [begin, end] };
      });
      return damaged(rawFile(edited(header, edits), new Uint8Array(end).fill(fill)), damage);
    });

const dense = configToJson(presets["qwen3-0.6b"]);
const rightConfigs: readonly Json[] = [
  configToJson(presets.toy),
  configToJson(presets["qwen3-30b-a3b"]),
  { ...dense, use_sliding_window: true, sliding_window: 512, max_window_layers: 2 },
  { ...dense, rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 32768 } },
  {
    ...dense,
    rope_scaling: undefined,
    rope_theta: undefined,
    rope_parameters: { rope_type: "default", rope_theta: 1e6 },
  },
];
const config = fc.constantFrom(...rightConfigs);

const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const index: Json = { metadata: { total_size: 8 }, weight_map: { a: shards[0], b: shards[0], c: shards[1] } };
const text = (json: fc.Arbitrary<Json>): fc.Arbitrary<Bytes> =>
  fc.tuple(json, fewEdits, damage).map(([json, edits, damage]) => {
    return damaged(Uint8Array.from(Buffer.from(edited(json, edits))), damage);
  });
const folder = {
  [shards[0]]: safetensors(["a", "b"]),
  [shards[1]]: safetensors(["c"]),
  "model.safetensors.index.json": text(fc.constant(index)),
  "config.json": text(config),
};
const checkpoint = fc.oneof(
  fc.record(folder),
  fc.record({ ...folder, "model.safetensors": safetensors(["a"]) }, { requiredKeys: [] }),
);

const randomBytes = fc.uint8Array({ maxLength: 64 }).map((bytes): Bytes => Uint8Array.from(bytes));
const inputs: Readonly<Record<Input["kind"], fc.Arbitrary<Input>>> = {
  gguf: fc.tuple(drawnGguf, damage).map(([file, damage]) => ({ kind: "gguf", file: damaged(file, damage) })),
  safetensors: fc
    .oneof(
      { weight: 8, arbitrary: safetensors(["a", "b", "é"]) },
      { weight: 1, arbitrary: randomBytes },
      { weight: 1, arbitrary: fc.tuple(fc.json(), randomBytes).map(([header, data]) => rawFile(header, data)) },
    )
    .map((file) => ({ kind: "safetensors", file })),
  "config.json": fc
    .oneof(
      { weight: 8, arbitrary: fc.tuple(config, edits).map(([json, edits]) => edited(json, edits)) },
      { weight: 1, arbitrary: fc.json() },
      { weight: 1, arbitrary: fc.string() },
    )
    .map((file) => ({ kind: "config.json", file })),
  checkpoint: checkpoint.map((files) => ({ kind: "checkpoint", files })),
};

async function read(input: Input): Promise<void> {
  if (input.kind === "config.json") {
    configFromJson(input.file);
  } else if (input.kind === "safetensors") {
    const { source, tensors } = await openSafetensors(input.file);
    for (const entry of tensors.values()) await readElements(source, entry);
  } else {
    if (input.kind === "gguf") {
      const { source, tensors } = await openGguf(input.file);
      for (const entry of tensors.values()) await readElements(source, entry);
    }
    const checkpoint = await openCheckpoint("file" in input ? input.file : input.files);
    for (const name of checkpoint.tensors.keys()) await readTensor(checkpoint, name);
    if (checkpoint.config !== undefined) configFromJson(checkpoint.config);
  }
}

function sizeOf(input: Input): number {
  if (input.kind !== "checkpoint") return input.file.length;
  return Object.values(input.files).reduce((size, file) => size + file.length, 0);
}

function usedMemory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external; // array buffers are counted in `external`
}

/** What became of the input: "read", or the code of a named error. @throws Error if a promise is broken */
async function outcomeOf(input: Input): Promise<string> {
  const memory = usedMemory();
  const began = performance.now();
  let outcome = "read";
  try {
    await read(input);
  } catch (error) {
    const named = allowed[input.kind].find((type) => error instanceof type);
    if (named === undefined) throw error;
    outcome = (error as FormatError | ConfigError | CheckpointError).code;
  }
  const [took, more] = [performance.now() - began, usedMemory() - memory];
  if (took > LONGEST_MS) throw new Error(`${input.kind}: must be read within ${LONGEST_MS} ms, took ${took}`);
  if (more > allowance(sizeOf(input))) {
    throw new Error(`${input.kind}: ${sizeOf(input)} bytes may take ${allowance(sizeOf(input))} bytes, took ${more}`);
  }
  return outcome;
}

type Message =
  { readonly done: number } | { readonly counts: Readonly<Record<string, number>>; readonly failure?: string };

/** Reads input after input, and says how far it is. */
async function soak(
  input: fc.Arbitrary<Input>,
  runs: number,
  seed: number,
  path: string | undefined,
  say: (m: Message) => void,
): Promise<void> {
  const counts: Record<string, number> = {};
  let done = 0;
  const law = fc.asyncProperty(input, async (input) => {
    if (done++ % 100 === 0) say({ done });
    const outcome = `${input.kind}: ${await outcomeOf(input)}`;
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  });
  const details = await fc.check(law, { numRuns: runs, seed, path });
  say({ counts, ...(details.failed && { failure: describe(details) }) });
}

function describe({ errorInstance, counterexample, counterexamplePath, seed }: fc.RunDetails<[Input]>): string {
  const error = errorInstance instanceof Error ? (errorInstance.stack ?? errorInstance.message) : String(errorInstance);
  const smallest = fc.stringify(counterexample).slice(0, 2_000);
  return `${error.slice(0, 2_000)}\nsmallest input found: ${smallest}\nalone, with the same --only: npm run soak -- --seed ${seed} --path ${counterexamplePath}`;
}

/** Starts the process that reads, and ends it if it falls silent. */
function watch(args: readonly string[], runs: number, seed: number): void {
  const reader = fork(process.argv[1], [...args, "--seed", `${seed}`, "--reads"]);
  const fail = (problem: string): void => {
    console.error(`${problem}\nto see it again: npm run soak -- ${[...args, `--seed ${seed}`].join(" ")}`);
    process.exitCode = 1;
  };
  let done = 0;
  let finished = false;
  const silence = setTimeout(() => reader.kill("SIGKILL"), 12 * LONGEST_MS);
  reader.on("message", (message: Message) => {
    silence.refresh();
    if ("done" in message) {
      done = message.done;
      return;
    }
    finished = true;
    for (const [outcome, count] of Object.entries(message.counts).sort()) console.log(`${outcome.padEnd(24)} ${count}`);
    if (message.failure !== undefined) fail(message.failure);
    else console.log(`${runs} inputs of seed ${seed}: every one read, or refused by name`);
  });
  // Messages come before the channel closes, but not always before the process is gone.
  void Promise.all([once(reader, "exit"), once(reader, "disconnect")]).then(([[code, signal]]: unknown[][]) => {
    clearTimeout(silence);
    if (!finished) fail(`one of the inputs from ${done} on must not hang or end the reader, got ${signal ?? code}`);
  });
}

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "100000" },
    only: { type: "string" },
    seed: { type: "string", default: `${Date.now() % 2 ** 31}` },
    path: { type: "string" },
    reads: { type: "boolean", default: false },
  },
});
const [runs, seed] = [Number(values.runs), Number(values.seed)];
if (!Number.isInteger(runs) || runs < 1)
  throw new ConfigError(`--runs: must be a positive integer, got ${values.runs}`);
if (!Number.isInteger(seed)) throw new ConfigError(`--seed: must be an integer, got ${values.seed}`);
const kind = values.only;
if (kind !== undefined && !Object.hasOwn(inputs, kind))
  throw new ConfigError(`--only: must be one of ${Object.keys(inputs).join(", ")}, got ${kind}`);
if (values.reads) {
  const input = kind === undefined ? fc.oneof(...Object.values(inputs)) : inputs[kind as Input["kind"]];
  await soak(input, runs, seed, values.path, (message) => process.send!(message));
  process.disconnect();
} else {
  watch(process.argv.slice(2), runs, seed);
}
