// What the panels share: the worker, words for people, and the order of things when the model changes.
import type { Toy } from "../lab/messages.js";
import type { Client } from "./client.js";
import { byId } from "./elements.js";

export interface App {
  readonly lab: Client;
  readonly toy: Toy;
  /** Runs what changes the model: writing and training stop, and go on when it is done. */
  change<T>(job: () => Promise<T>): Promise<T | undefined>;
}

/** Said to those who listen instead of looking. */
export function announce(text: string): void {
  byId("status").textContent = text;
}

export function showError(error: unknown): void {
  const box = byId("error");
  box.hidden = false;
  box.textContent = error instanceof Error ? error.message : String(error);
}

export function clearError(): void {
  byId("error").hidden = true;
}

/** @param share from 0 to 1; 1 hides the bar */
export function showProgress(what: string, share: number): void {
  byId("progress-label").textContent = what;
  const bar = byId<HTMLProgressElement>("progress-bar");
  bar.value = share;
  byId("progress").classList.toggle("idle", share >= 1);
}

export function fact(name: "backend" | "writes" | "trains" | "memory" | "offline", text: string): void {
  byId(`fact-${name}`).textContent = text;
}

export const percent = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 1)} MB`;

export const speed = (tokensPerSecond: number): string =>
  `${tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0)} tokens/s`;
