// The page's end of the worker: calls that answer with promises, and events.
import type { Answer, Calls, Events } from "../lab/messages.js";

export interface Client {
  call<K extends keyof Calls>(name: K, ...args: Parameters<Calls[K]>): ReturnType<Calls[K]>;
  on<E extends keyof Events>(event: E, listener: (data: Events[E]) => void): void;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export function startWorker(): Client {
  const worker = new Worker(new URL("../lab/worker.ts", import.meta.url), { type: "module" });
  const waiting = new Map<number, Waiting>();
  const listeners = new Map<string, (data: never) => void>();
  let calls = 0;
  worker.onmessage = ({ data }: MessageEvent<Answer>) => {
    if ("event" in data) return listeners.get(data.event)?.(data.data as never);
    const caller = waiting.get(data.id);
    waiting.delete(data.id);
    if ("result" in data) caller?.resolve(data.result);
    else caller?.reject(Object.assign(new Error(data.error.message), { name: data.error.name }));
  };
  worker.onerror = ({ message }) => {
    for (const { reject } of waiting.values()) reject(new Error(`the worker ended: ${message}`));
    waiting.clear();
  };
  return {
    call: (name, ...args) => {
      const id = calls++;
      const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
      worker.postMessage({ id, name, args });
      return answer as ReturnType<Calls[typeof name]>;
    },
    on: (event, listener) => void listeners.set(event, listener),
  };
}
