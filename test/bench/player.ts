// A process that takes turns: it gets what to do as JSON in its last argument, answers each line of input with one JSON line, and ends with
// its input. Everything else that it prints is not part of the talk.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Facts } from "./machine.js";
import { median } from "./quartiles.js";
import type { Side } from "./rounds.js";

/** The first answer: that it can, or why not. */
export type Hello = { readonly info: Facts; readonly probe?: readonly number[] } | { readonly failed: string };

/** The answer to a turn. */
export interface Turn {
  /** Median of the turn's runs. */
  readonly milliseconds: number;
  /** Processor time while the other side had its turn, over the time that took: 0 for a process that truly waits. */
  readonly idle: number;
}

/** Above this the other side was disturbed. */
const mostIdle = 0.1;

/** Why a side cannot play. */
export class CannotPlay extends Error {}

export class Player implements Side, AsyncDisposable {
  readonly info: Facts;
  /** Some results, to see that all sides compute the same. */
  readonly probe: readonly number[];
  readonly #talk: Talk;
  readonly idle: number[] = [];

  private constructor(talk: Talk, info: Facts, probe: readonly number[]) {
    this.#talk = talk;
    this.info = info;
    this.probe = probe;
  }

  /** A TypeScript file of this folder, run as this process is. @throws CannotPlay */
  static async ofFile(file: string, work: object, execArgv: readonly string[] = process.execArgv): Promise<Player> {
    const path = fileURLToPath(new URL(file, import.meta.url));
    return Player.of(file, process.execPath, [...execArgv, path], work);
  }

  /** @throws CannotPlay */
  static async ofPython(python: string, file: string, work: object): Promise<Player> {
    return Player.of(file, python, [fileURLToPath(new URL(file, import.meta.url))], work);
  }

  private static async of(file: string, command: string, args: readonly string[], work: object): Promise<Player> {
    const talk = new Talk(file, command, [...args, JSON.stringify(work)]);
    try {
      const hello = (await talk.answer()) as Hello;
      if ("failed" in hello) throw new CannotPlay(`${file}: ${hello.failed}`);
      return new Player(talk, hello.info, hello.probe ?? []);
    } catch (error) {
      await talk.end();
      throw error;
    }
  }

  async turn(): Promise<number> {
    this.#talk.ask("go");
    const { milliseconds, idle } = (await this.#talk.answer()) as Turn;
    this.idle.push(idle);
    return milliseconds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#talk.end();
  }
}

/** What casts doubt on a match. */
export function notesOn(ours: Player, theirs: Player): string[] {
  const notes: string[] = [];
  if (!ours.probe.every((value, i) => value === theirs.probe[i]))
    notes.push(`the results differ: ours ${ours.probe.join(" ")}, theirs ${theirs.probe.join(" ")}`);
  for (const [whose, player] of Object.entries({ ours, theirs })) {
    const idle = median(player.idle);
    if (idle > mostIdle) notes.push(`${whose} kept ${(100 * idle).toFixed(0)}% of a processor busy while it waited`);
  }
  return notes;
}

class Talk {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<string>;
  readonly #file: string;
  #complaints = "";

  constructor(file: string, command: string, args: readonly string[]) {
    this.#file = file;
    const cwd = fileURLToPath(new URL("../..", import.meta.url));
    this.#child = spawn(command, args, { cwd, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdin.on("error", () => {}); // of a process that has ended: `answer` says so
    this.#child.stderr.setEncoding("utf8");
    this.#child.stderr.on("data", (text: string) => (this.#complaints = (this.#complaints + text).slice(-2000)));
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", ({ message }) => resolve(message));
      this.#child.on("close", (code, signal) => resolve(`it ended with ${signal ?? code}: ${this.#complaints.trim()}`));
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  ask(what: string): void {
    this.#child.stdin.write(`${what}\n`);
  }

  /** @throws CannotPlay if the process has ended */
  async answer(): Promise<unknown> {
    for (;;) {
      const line = await Promise.race([this.#lines.next(), this.#ended]);
      if (typeof line === "string" || line.done) throw new CannotPlay(`${this.#file}: ${await this.#ended}`);
      if (line.value.startsWith("{")) return JSON.parse(line.value) as unknown;
    }
  }

  async end(): Promise<void> {
    this.#child.stdin.end();
    this.#child.kill();
    await this.#ended;
  }
}
