// Runs in Chromium: one task on our backend and on a peer, in turns within one page.
import { webgpu } from "qwen-blocks/webgpu";
import { alternate, takeTurn, type Match } from "../rounds.js";
import { jaxAt } from "./gpu-jax.js";
import { onnxruntimeAt } from "./gpu-onnxruntime.js";
import { oursOn } from "./gpu-ours.js";
import type { GpuSide, GpuTask } from "./gpu-task.js";

export const gpuPeers = { "onnxruntime-web": onnxruntimeAt, "@jax-js/jax": jaxAt } as const;
export type GpuPeer = keyof typeof gpuPeers;

export interface GpuComparison {
  readonly peer: GpuPeer;
  readonly task: GpuTask;
  /** Where the server has the packages. */
  readonly folder: string;
  /** Calls of a run, whose last result is read. */
  readonly calls: number;
  readonly rounds: number;
}

export interface GpuMatch {
  readonly adapter: string | number;
  readonly match: Match;
  /** The largest difference between results, over the largest of them. */
  readonly difference: number;
}

export async function compare({ peer, task, folder, calls, rounds }: GpuComparison): Promise<GpuMatch> {
  await using backend = await webgpu();
  const ours = oursOn(backend, task);
  const theirs = await gpuPeers[peer](folder, task);
  const difference = apart(await ours(1), await theirs(1));
  const side = (compute: GpuSide) => ({
    turn: async () => (await takeTurn(async () => void (await compute(calls)))) / calls,
  });
  const match = await alternate(side(ours), side(theirs), rounds);
  return { adapter: backend.info.adapter, match, difference };
}

function apart(ours: ArrayLike<number>, theirs: ArrayLike<number>): number {
  if (ours.length !== theirs.length) return Infinity;
  let [largest, difference] = [0, 0];
  for (let i = 0; i < ours.length; i++) {
    largest = Math.max(largest, Math.abs(theirs[i]));
    difference = Math.max(difference, Math.abs(ours[i] - theirs[i]));
  }
  return difference / largest;
}
