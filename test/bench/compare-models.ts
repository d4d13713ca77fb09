// `--python`: training steps and decoding of the same random models here and in transformers, with every way that it has to compute experts.
import { availableParallelism } from "node:os";
import { ConfigError, configToJson, type Qwen3Config } from "qwen-blocks";
import { libraryVersion, machineFacts, showFacts, type Facts } from "./machine.js";
import { expectConfig } from "./open.js";
import type { BenchOptions } from "./options.js";
import type { ModelTask } from "./peers/ours-model.js";
import { decoded, type Phase } from "./phases.js";
import { CannotPlay, Player, notesOn } from "./player.js";
import { median, showQuartiles } from "./quartiles.js";
import { alternate, type Match } from "./rounds.js";

const driver = "peers/transformers.py";

interface Compared {
  readonly model: string;
  readonly phase: Phase;
  readonly experts: string;
  /** Of torch. */
  readonly threads: number;
  /** Why it was not measured. */
  readonly failed?: string;
  readonly match?: Match;
  readonly oursTokensPerSecond?: number;
  readonly theirTokensPerSecond?: number;
  readonly ours?: Facts;
  readonly theirs?: Facts;
  readonly notes?: readonly string[];
}

export async function compareModels(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { tokens, batch, rounds, scale, model } = options;
  const { info, ways } = await askForWays(options.python ?? "python3");
  const facts = { library: libraryVersion(), machine: machineFacts(), transformers: info, tokens, batch, rounds };
  print(`qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}\npeer      ${showFacts(info)}`);
  print(`tokens/s, medians of ${rounds} rounds; ratio: ours over theirs, median (quartiles)`);
  print(`          training in ${batch} rows of ${tokens} tokens; decoding behind ${tokens} tokens`);
  const results: Compared[] = [];
  for (const name of model === undefined ? ["toy", "moe-256"] : [model]) {
    const config = expectConfig(name, scale);
    for (const phase of options.only.filter((each) => each !== "prefill")) {
      print(`\n${`${name}, ${phase}`.padEnd(24)}${"ours".padStart(10)}${"theirs".padStart(10)}   ratio`);
      const compared: Compared[] = [];
      for (const experts of config.numExperts > 0 ? ways : [""]) {
        for (const threads of threadsOf(options)) {
          const result = await compare(options, name, config, phase, experts, threads);
          compared.push(result);
          print(row(result));
          if (result.failed !== undefined) break;
        }
      }
      const best = fastest(compared);
      if (best)
        print(
          `  reference: ${nameOf(best)}; ours ${showFacts(best.ours ?? {})}; theirs ${showFacts(best.theirs ?? {})}`,
        );
      results.push(...compared.map((each) => ({ ...each, reference: each === best })));
    }
  }
  return { ...facts, results };
}

/** The ways in which the installed transformers computes experts. @throws ConfigError */
async function askForWays(python: string): Promise<{ readonly info: Facts; readonly ways: readonly string[] }> {
  await using player = await Player.ofPython(python, driver, { list: true }).catch((cause: Error) => {
    throw new ConfigError(
      `--python: must be an interpreter with torch and transformers, got ${python} (${cause.message})`,
      { cause },
    );
  });
  const { experts, ...info } = player.info;
  return { info, ways: String(experts).split(",") };
}

async function compare(
  options: BenchOptions,
  model: string,
  config: Qwen3Config,
  phase: Phase,
  experts: string,
  threads: number,
): Promise<Compared> {
  const { tokens, batch, rounds, backend } = options;
  const own: ModelTask = { phase, config, backend, tokens, batch };
  const other = { phase, config: configToJson(config), tokens, batch, experts, threads, decoded };
  try {
    await using theirs = await Player.ofPython(options.python ?? "python3", driver, other);
    await using ours = await Player.ofFile("peers/ours-model.ts", own);
    const match = await alternate(ours, theirs, rounds);
    const made = phase === "decode" ? decoded : tokens * batch;
    return {
      model,
      phase,
      experts,
      threads,
      match,
      oursTokensPerSecond: (1000 * made) / median(match.ours),
      theirTokensPerSecond: (1000 * made) / median(match.theirs),
      ours: ours.info,
      theirs: theirs.info,
      notes: notesOn(ours, theirs),
    };
  } catch (error) {
    if (error instanceof CannotPlay) return { model, phase, experts, threads, failed: error.message };
    throw error;
  }
}

/** Small models may be faster without threads: where none are asked for, the peer tries both. */
function threadsOf({ backend: { threads } }: BenchOptions): readonly number[] {
  return threads === undefined ? [...new Set([1, availableParallelism()])] : [threads];
}

function nameOf({ experts, threads }: Compared): string {
  return `${experts || "dense"} x${threads}`;
}

function fastest(results: readonly Compared[]): Compared | undefined {
  const speed = ({ theirTokensPerSecond = 0 }: Compared): number => theirTokensPerSecond;
  return [...results].filter(({ match }) => match).sort((a, b) => speed(b) - speed(a))[0];
}

function row(result: Compared): string {
  const { failed, match, oursTokensPerSecond = NaN, theirTokensPerSecond = NaN, notes = [] } = result;
  const name = `  ${nameOf(result)}`.padEnd(24);
  if (!match) return `${name}not measured: ${failed}`;
  const numbers = [oursTokensPerSecond, theirTokensPerSecond]
    .map((value) => value.toPrecision(4).padStart(10))
    .join("");
  return [`${name}${numbers}   ${showQuartiles(match.ratio)}`, ...notes.map((note) => `    ${note}`)].join("\n");
}
