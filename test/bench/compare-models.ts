// `--python`: training steps and decoding of the same random models here and in transformers, with every way that it has to compute experts.
import { ConfigError, configToJson, type Qwen3Config } from "qwen-blocks";
import { libraryVersion, machineFacts, showFacts, type Facts } from "./machine.js";
import { expectConfig } from "./open.js";
import type { BenchOptions } from "./options.js";
import type { ModelTask } from "./peers/ours-model.js";
import { decoded, type Phase } from "./phases.js";
import { Player } from "./player.js";
import { compareSpeeds, fastest, oneAndAll, showHead, showReference, showSpeeds, type Speeds } from "./speeds.js";

const driver = "peers/transformers.py";

interface Compared extends Speeds {
  readonly model: string;
  readonly phase: Phase;
  readonly experts: string;
  /** Of torch. */
  readonly threads: number;
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
      print(showHead(`${name}, ${phase}`));
      const compared: Compared[] = [];
      for (const experts of config.numExperts > 0 ? ways : [""]) {
        for (const threads of options.backend.threads ? [options.backend.threads] : oneAndAll) {
          const result = await compare(options, name, config, phase, experts, threads);
          compared.push(result);
          print(showSpeeds(result));
          if (result.failed !== undefined) break;
        }
      }
      const best = fastest(compared);
      if (best) print(showReference(best));
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
  const speeds = await compareSpeeds({
    name: `${experts || "dense"} x${threads}`,
    tokens: phase === "decode" ? decoded : tokens * batch,
    rounds,
    openOurs: () => Player.ofFile("peers/ours-model.ts", own),
    openTheirs: () => Player.ofPython(options.python ?? "python3", driver, other),
  });
  return { ...speeds, model, phase, experts, threads };
}
