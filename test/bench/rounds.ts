// Alternating rounds: two sides take turns, so that whatever slows the machine for a while slows both, and ratios are taken within a round.
import { median, quartiles, type Quartiles } from "./quartiles.js";

export interface Side {
  /** One turn; resolves with the milliseconds of one run of the work. */
  turn(): Promise<number>;
}

export interface Match {
  /** Milliseconds of one run, by round. */
  readonly ours: readonly number[];
  readonly theirs: readonly number[];
  /** How many times as fast as they we are, by round: their time over ours. */
  readonly ratio: Quartiles;
}

/** A turn takes at least so long, and has at least one run. */
const turnMilliseconds = 300;

/** One run that does not count, since the other side has had the caches; then the median of several, in milliseconds. */
export async function takeTurn(run: () => Promise<void>): Promise<number> {
  await run();
  const times: number[] = [];
  const begin = performance.now();
  do {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  } while (performance.now() - begin < turnMilliseconds);
  return median(times);
}

/** After one round that does not count. */
export async function alternate(ours: Side, theirs: Side, rounds: number): Promise<Match> {
  const times: [number, number][] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair: [number, number] = [await ours.turn(), await theirs.turn()];
    if (round > 0) times.push(pair);
  }
  return {
    ours: times.map(([own]) => own),
    theirs: times.map(([, other]) => other),
    ratio: quartiles(times.map(([own, other]) => other / own)),
  };
}
