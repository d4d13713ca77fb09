// Threads: a command is cut into tiles, and every thread, the caller included, claims tiles from one counter. No bit of a result depends
// on who computes a tile. The words that they share lie in the first page of memory (layout.ts).
import { CALLER_MAY_SLEEP, CALLER_SLEEPS, CLAIMED, CLAIMS, DONE, GENERATION, REPLAYING, SLEEPERS, SPINS, STOP, WORKERS } from "../layout";
import { tilesOf } from "./command";
import { tile } from "./tiles";

/** Runs `count` commands, each when the one before is done; `list` holds their addresses. Workers that it woke stay awake. */
export function replay(list: usize, count: u32): void {
  atomic.store<u32>(REPLAYING, 1);
  for (let i: usize = 0; i < count; i++) run(load<u32>(list + (i << 2)));
  atomic.store<u32>(REPLAYING, 0);
}

/** Runs all tiles of a command and returns when they are done. */
export function run(command: usize): void {
  const tiles = tilesOf(command);
  if (tiles <= 1 || load<u32>(WORKERS) == 0) {
    for (let i: u32 = 0; i < tiles; i++) tile(command, i, 0);
    return;
  }
  store<u32>(CLAIMED, command as u32);
  atomic.store<u32>(DONE, 0);
  // A worker that comes late from the command before finds no tile left before this line, and a valid one of this command after it.
  atomic.store<u64>(CLAIMS, (tiles as u64) << 32);
  atomic.add<u32>(GENERATION, 1);
  if (atomic.load<u32>(SLEEPERS) != 0) atomic.notify(GENERATION, -1);
  claim(0);
  awaitDone(tiles);
}

function claim(thread: u32): void {
  for (;;) {
    const claimed = atomic.add<u64>(CLAIMS, 1);
    const tiles = (claimed >> 32) as u32;
    const next = claimed as u32;
    if (next >= tiles) return;
    tile(load<u32>(CLAIMED), next, thread);
    if (atomic.add<u32>(DONE, 1) + 1 == tiles && atomic.load<u32>(CALLER_SLEEPS) != 0) atomic.notify(DONE, 1);
  }
}

function awaitDone(tiles: u32): void {
  const spins = load<u32>(SPINS);
  for (let i: u32 = 0; ; i++) {
    const done = atomic.load<u32>(DONE);
    if (done == tiles) return;
    if (i < spins || load<u32>(CALLER_MAY_SLEEP) == 0) continue;
    atomic.store<u32>(CALLER_SLEEPS, 1);
    atomic.wait<i32>(DONE, done as i32, -1);
    atomic.store<u32>(CALLER_SLEEPS, 0);
  }
}

/** A worker's life: returns when STOP is set. */
export function serve(thread: u32): void {
  // Read before the first look at CLAIMS, so that a command published in between is not slept through.
  let seen = atomic.load<u32>(GENERATION);
  const spins = load<u32>(SPINS);
  while (atomic.load<u32>(STOP) == 0) {
    claim(thread);
    for (let i: u32 = 0; (i < spins || atomic.load<u32>(REPLAYING) != 0) && atomic.load<u32>(GENERATION) == seen; i++) {}
    if (atomic.load<u32>(GENERATION) == seen) {
      atomic.add<u32>(SLEEPERS, 1);
      atomic.wait<i32>(GENERATION, seen as i32, -1);
      atomic.sub<u32>(SLEEPERS, 1);
    }
    seen = atomic.load<u32>(GENERATION);
  }
}

/** Looks at a word this many times: JavaScript measures how long a look takes. */
export function spin(times: u32): u32 {
  let sum: u32 = 0;
  for (let i: u32 = 0; i < times; i++) sum += atomic.load<u32>(GENERATION);
  return sum;
}
