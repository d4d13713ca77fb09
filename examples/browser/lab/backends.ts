// The backends that a page can have, by the names under which it offers them.
import { BackendError, type Backend } from "qwen-blocks";
import { openBackend } from "qwen-blocks/auto";
import type { Choice, Running } from "./messages.js";

type Open = () => Promise<Backend>;

const openers: Readonly<Record<Choice, Open>> = {
  webgpu: async () => (await import("qwen-blocks/webgpu")).webgpu(),
  "wasm-threads": async () => {
    const backend = await (await import("qwen-blocks/wasm")).wasm();
    if (Number(backend.info.threads) > 1) return backend;
    await backend[Symbol.asyncDispose]();
    throw new BackendError(String(backend.info.whyNotMoreThreads ?? "the machine has a single core"));
  },
  "wasm-one": async () => (await import("qwen-blocks/wasm")).wasm({ threads: 1 }),
  gpujs: async () => (await import("qwen-blocks/gpujs")).gpujs(),
  cpu: async () => (await import("qwen-blocks/cpu")).cpu(),
};

export const choices = Object.keys(openers) as readonly Choice[];

export function open(choice: Choice): Promise<Backend> {
  return openers[choice]();
}

/** The library's own choice, and why nothing better. */
export async function openBest(): Promise<{ readonly backend: Backend; readonly running: Running }> {
  const { backend, passedOver } = await openBackend();
  const choice = choiceOf(backend);
  const reasons: Partial<Record<Choice, string>> = {};
  for (const { name, reason } of passedOver) reasons[name === "wasm" ? "wasm-threads" : name] = reason;
  const { whyNotMoreThreads } = backend.info;
  if (whyNotMoreThreads !== undefined) reasons["wasm-threads"] = String(whyNotMoreThreads);
  return { backend, running: { choice, info: backend.info, passedOver: reasons } };
}

function choiceOf({ name, info }: Backend): Choice {
  if (name !== "wasm") return name as Choice;
  return Number(info.threads) > 1 ? "wasm-threads" : "wasm-one";
}
