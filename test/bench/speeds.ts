// A row of a comparison in tokens per second: ours and theirs in turns, or why there is no match.
import { availableParallelism } from "node:os";
import { showFacts, type Facts } from "./machine.js";
import { CannotPlay, notesOn, type Player } from "./player.js";
import { median, showQuartiles } from "./quartiles.js";
import { alternate, type Match } from "./rounds.js";

export interface Speeds {
  /** Whom we are compared with, and how that one computes. */
  readonly name: string;
  /** Why it was not measured. */
  readonly failed?: string;
  readonly match?: Match;
  readonly oursTokensPerSecond?: number;
  readonly theirTokensPerSecond?: number;
  readonly ours?: Facts;
  readonly theirs?: Facts;
  readonly notes?: readonly string[];
}

interface Sides {
  readonly name: string;
  /** Made by one run. */
  readonly tokens: number;
  readonly rounds: number;
  readonly openOurs: () => Promise<Player>;
  readonly openTheirs: () => Promise<Player>;
}

export async function compareSpeeds({ name, tokens, rounds, openOurs, openTheirs }: Sides): Promise<Speeds> {
  try {
    await using theirs = await openTheirs();
    await using ours = await openOurs();
    const match = await alternate(ours, theirs, rounds);
    return {
      name,
      match,
      oursTokensPerSecond: (1000 * tokens) / median(match.ours),
      theirTokensPerSecond: (1000 * tokens) / median(match.theirs),
      ours: ours.info,
      theirs: theirs.info,
      notes: notesOn(ours, theirs),
    };
  } catch (error) {
    if (error instanceof CannotPlay) return { name, failed: error.message };
    throw error;
  }
}

/** Small models may be faster without threads. */
export const oneAndAll: readonly number[] = [...new Set([1, availableParallelism()])];

/** Of the peers, not of us. */
export function fastest<S extends Speeds>(rows: readonly S[]): S | undefined {
  const speed = ({ theirTokensPerSecond = 0 }: Speeds): number => theirTokensPerSecond;
  return [...rows].filter(({ match }) => match).sort((a, b) => speed(b) - speed(a))[0];
}

export function showHead(title: string): string {
  return `\n${title.padEnd(24)}${"ours".padStart(10)}${"theirs".padStart(10)}   ratio`;
}

export function showSpeeds({ name, failed, match, notes = [], ...row }: Speeds): string {
  const { oursTokensPerSecond = NaN, theirTokensPerSecond = NaN } = row;
  const indented = `  ${name}`.padEnd(24);
  if (!match) return `${indented}not measured: ${failed}`;
  const numbers = [oursTokensPerSecond, theirTokensPerSecond]
    .map((value) => value.toPrecision(4).padStart(10))
    .join("");
  return [`${indented}${numbers}   ${showQuartiles(match.ratio)}`, ...notes.map((note) => `    ${note}`)].join("\n");
}

export function showReference({ name, ours = {}, theirs = {} }: Speeds): string {
  return `  reference: ${name}; ours ${showFacts(ours)}; theirs ${showFacts(theirs)}`;
}
