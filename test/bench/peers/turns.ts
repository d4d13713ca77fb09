// The process side of player.ts: takes turns until its input ends.
import { createInterface } from "node:readline";
import type { Facts } from "../machine.js";
import type { Hello, Turn } from "../player.js";
import { takeTurn } from "../rounds.js";

export interface Work {
  readonly info: Facts;
  readonly probe?: readonly number[];
  /** Ends when the results are on the host. */
  run(): Promise<void>;
}

/** @param prepare makes everything that is not measured from what the process was given; what it throws is why it cannot play */
export async function takeTurns<Task>(prepare: (task: Task) => Promise<Work>): Promise<void> {
  console.log = console.info = console.error; // the answers have standard output to themselves
  let work: Work;
  try {
    work = await prepare(JSON.parse(process.argv.at(-1) ?? "{}") as Task);
    await work.run();
  } catch (error) {
    const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
    say({ failed: reason });
    process.exit();
  }
  say({ info: work.info, ...(work.probe && { probe: work.probe }) });
  let waiting = clocks();
  for await (const _ of createInterface({ input: process.stdin })) {
    const now = clocks();
    const idle = (now.processor - waiting.processor) / (now.wall - waiting.wall);
    say({ milliseconds: await takeTurn(work.run), idle });
    waiting = clocks();
  }
  process.exit();
}

/** Both in milliseconds. */
function clocks(): { readonly wall: number; readonly processor: number } {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now(), processor: (user + system) / 1000 };
}

function say(answer: Hello | Turn): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
