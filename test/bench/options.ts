// The command line of the benchmark.
import { parseArgs } from "node:util";
import { ConfigError } from "qwen-blocks";

export const phases = ["prefill", "decode", "training"] as const;
export type Phase = (typeof phases)[number];

export interface BenchOptions {
  readonly backend?: string;
  /** A preset's name, or a folder with a checkpoint. */
  readonly model: string;
  /** Of the preset's widths and depth. */
  readonly scale: number;
  /** In the prompt, in the cache while decoding, and in a training step. */
  readonly tokens: number;
  readonly runs: number;
  readonly only: readonly Phase[];
  readonly json: boolean;
}

export const usage = `Measures tokens per second and kernel calls per token.

  npm run bench -- [options]

  --backend NAME  what computes; the best one that opens unless given
  --model MODEL   a preset (toy unless given), or a folder with a checkpoint
  --scale S       the preset at S times its widths and depth, with random weights
  --tokens N      in the prompt, in the cache while decoding, in a training step; 128 unless given
  --runs N        of which the median is shown; 5 unless given
  --only PHASE    ${phases.join(", ")}; may be repeated, all unless given
  --json          for programs
  --help          this text`;

/** @throws ConfigError that names the option */
export function readOptions(args: readonly string[]): BenchOptions | "help" {
  const { help, backend, model, scale, tokens, runs, only, json } = parse(args);
  if (help) return "help";
  return {
    ...(backend !== undefined && { backend }),
    model,
    scale: positive("--scale", scale, false),
    tokens: positive("--tokens", tokens, true),
    runs: positive("--runs", runs, true),
    only: only.length > 0 ? only.map(phase) : phases,
    json,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        backend: { type: "string" },
        model: { type: "string", default: "toy" },
        scale: { type: "string", default: "1" },
        tokens: { type: "string", default: "128" },
        runs: { type: "string", default: "5" },
        only: { type: "string", multiple: true, default: [] },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    throw new ConfigError(`options: ${(cause as Error).message}`, { cause });
  }
}

function positive(option: string, text: string, whole: boolean): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0 && (!whole || Number.isSafeInteger(value))) return value;
  throw new ConfigError(`${option}: must be a positive ${whole ? "integer" : "number"}, got "${text}"`);
}

function phase(text: string): Phase {
  const found = phases.find((name) => name === text);
  if (found) return found;
  throw new ConfigError(`--only: must be one of ${phases.join(", ")}, got "${text}"`);
}
