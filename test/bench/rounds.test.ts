// Ratios are taken within a round, of turns that alternate; a player that cannot play says why.
import { expect, test } from "vitest";
import { CannotPlay, Player } from "./player.js";
import { quartiles } from "./quartiles.js";
import { alternate, type Side } from "./rounds.js";

test("quartiles interpolate", () => {
  expect(quartiles([4, 1, 3, 2])).toEqual({ lower: 1.75, median: 2.5, upper: 3.25 });
  expect(quartiles([7])).toEqual({ lower: 7, median: 7, upper: 7 });
});

test("turns alternate, and the first round does not count", async () => {
  const order: string[] = [];
  const side = (name: string, times: readonly number[]): Side => {
    const left = [...times];
    return {
      async turn() {
        order.push(name);
        return left.shift() ?? NaN;
      },
    };
  };
  // The machine is half as fast in the last round, for both.
  const match = await alternate(side("ours", [99, 1, 2, 4]), side("theirs", [1, 3, 6, 12]), 3);
  expect(order.join(" ")).toBe("ours theirs ours theirs ours theirs ours theirs");
  expect(match).toEqual({ ours: [1, 2, 4], theirs: [3, 6, 12], ratio: { lower: 3, median: 3, upper: 3 } });
});

test("a peer that is not installed is reported with its reason", async () => {
  const task = { m: 2, k: 2, n: 2, threads: 1, folder: import.meta.dirname, name: "no-such-peer" };
  const tsx = import.meta.resolve("tsx");
  const player = Player.ofFile("peers/onnxruntime.ts", task, ["--import", tsx]);
  await expect(player).rejects.toThrow(CannotPlay);
  await expect(player).rejects.toThrow("Cannot find module 'no-such-peer'");
});

test("a program that is not there is reported too", async () => {
  await expect(Player.ofPython("/no/such/python", "peers/transformers.py", {})).rejects.toThrow("ENOENT");
});
