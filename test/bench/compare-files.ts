// `--llama`: prefill and decoding of one GGUF file here, in llama.cpp's native build, and in its WebAssembly build in Chromium.
import { resolve } from "node:path";
import { ConfigError, configFromJson, countParameters } from "qwen-blocks";
import { openCheckpoint } from "qwen-blocks/io";
import { libraryVersion, machineFacts, showFacts } from "./machine.js";
import type { BenchOptions } from "./options.js";
import type { FileTask } from "./peers/file.js";
import type { ModelTask } from "./peers/ours-model.js";
import { decoded, type Phase } from "./phases.js";
import { Player } from "./player.js";
import { compareSpeeds, fastest, oneAndAll, showHead, showReference, showSpeeds, type Speeds } from "./speeds.js";

const peers = { "llama.cpp": "peers/llama.ts", wllama: "peers/wllama.ts" } as const;
type Peer = keyof typeof peers;

interface Compared extends Speeds {
  readonly phase: Phase;
  readonly peer: Peer;
  /** Of the peer. */
  readonly threads: number;
}

export async function compareFiles(options: BenchOptions, print: (line: string) => void): Promise<object> {
  const { model: file = "", tokens, rounds } = options;
  if (!file.endsWith(".gguf")) throw new ConfigError(`--llama: needs --model FILE.gguf, got ${file || "none"}`);
  const { config: json } = await openCheckpoint(resolve(file));
  const config = configFromJson(json);
  const { total, active } = countParameters(config);
  const facts = { library: libraryVersion(), machine: machineFacts(), file, parameters: total, tokens, rounds };
  print(`qwen-blocks ${facts.library}\nmachine   ${showFacts(facts.machine)}`);
  print(`file      ${file}: ${total} parameters, ${active} active`);
  print(`tokens/s, medians of ${rounds} rounds; ratio: ours over theirs, median (quartiles)`);
  print(`          prefill of ${tokens} tokens; greedy decoding of ${decoded} behind ${tokens}`);
  const results: Compared[] = [];
  for (const phase of options.only.filter((each) => each !== "training")) {
    for (const peer of Object.keys(peers) as Peer[]) {
      print(showHead(`${peer}, ${phase}`));
      const compared: Compared[] = [];
      for (const threads of oneAndAll) {
        const result = await compare(options, peer, phase, threads, config.vocabSize);
        compared.push(result);
        print(showSpeeds(result));
      }
      const best = fastest(compared);
      if (best) print(showReference(best));
      results.push(...compared.map((each) => ({ ...each, reference: each === best })));
    }
  }
  return { ...facts, results };
}

async function compare(
  { model = "", llama = ".", tokens, rounds, backend }: BenchOptions,
  peer: Peer,
  phase: Phase,
  threads: number,
  vocabSize: number,
): Promise<Compared> {
  const file = resolve(model);
  const own: ModelTask = { phase, file, backend, tokens, batch: 1 };
  const other: FileTask = { phase, file, folder: resolve(llama), threads, tokens, decoded, vocabSize };
  const speeds = await compareSpeeds({
    name: `${peer} x${threads}`,
    tokens: phase === "decode" ? decoded : tokens,
    rounds,
    openOurs: () => Player.ofFile("peers/ours-model.ts", own),
    openTheirs: () => Player.ofFile(peers[peer], other),
  });
  return { ...speeds, phase, peer, threads };
}
