// The command line. What is not given stays undefined, so that a resumed run can tell a choice from a default.
import { parseArgs } from "node:util";
import { ConfigError } from "qwen-blocks";

export interface Options {
  /** Go on where the run in `out` was saved. */
  readonly resume: boolean;
  readonly steps?: number;
  readonly seed?: number;
  /** Weight of the load-balancing loss. */
  readonly aux?: number;
  readonly backend?: string;
  readonly out: string;
  /** Files to learn from; this repository's docs and sources if there are none. */
  readonly text: readonly string[];
}

export const usage = `Trains a toy mixture of experts (1.65 M parameters) on text and writes a report.

  npm start -- [options]

  --text FILE     learn from this UTF-8 file instead of the repository's docs and sources; may be repeated
  --steps N       training steps
  --seed N        where all random numbers come from
  --aux C         weight of the load-balancing loss; 0 leaves it out
  --backend NAME  what computes; the best one that opens unless given
  --out DIR       where results go; "out" unless given
  --resume        go on with the run that was saved in DIR
  --help          this text

Written to DIR: report.html, checkpoint/ (loads in transformers), training-state.safetensors (for --resume).
Ctrl-C saves and ends.`;

/** @throws ConfigError that names the option. */
export function readOptions(args: readonly string[]): Options | "help" {
  const { help, steps, seed, aux, backend, out, ...rest } = parse(args);
  if (help) return "help";
  if (out === "") throw new ConfigError("--out: must name a folder, got an empty name");
  return {
    ...rest,
    out,
    ...(steps !== undefined && { steps: integer("--steps", steps, 1) }),
    ...(seed !== undefined && { seed: integer("--seed", seed, 0) }),
    ...(aux !== undefined && { aux: decimal("--aux", aux) }),
    ...(backend !== undefined && { backend }),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        resume: { type: "boolean", default: false },
        steps: { type: "string" },
        seed: { type: "string" },
        aux: { type: "string" },
        backend: { type: "string" },
        out: { type: "string", default: "out" },
        text: { type: "string", multiple: true, default: [] },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    throw new ConfigError(`options: ${(cause as Error).message}`, { cause });
  }
}

/** @throws ConfigError that names the option */
export function integer(option: string, text: string, least: number): number {
  const value = Number(text);
  // Seeds have 32 bits.
  if (/^\d+$/.test(text) && value >= least && value < 2 ** 32) return value;
  throw new ConfigError(`${option}: must be an integer from ${least} to ${2 ** 32 - 1}, got "${text}"`);
}

function decimal(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value >= 0) return value;
  throw new ConfigError(`${option}: must be a number of at least 0, got "${text}"`);
}
