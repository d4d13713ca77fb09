// The check of a router's options.
import { ConfigError } from "../core/errors.js";
import type { Router } from "./router.js";

/** @throws ConfigError unless `value` is finite and `holds` */
export function expectOption(where: string, name: string, value: number, rule: string, holds: boolean): void {
  if (!(Number.isFinite(value) && holds)) throw new ConfigError(`${where}: ${name} must be ${rule}, got ${value}`);
}

/** @throws ConfigError unless it is a positive integer */
export function expectExpertsPerTok(where: string, name: string, value: number): void {
  expectOption(where, name, value, "a positive integer", Number.isInteger(value) && value >= 1);
}

/** @throws ConfigError if a token is to visit more experts than there are */
export function expectEnoughExperts(where: string, name: string, k: number, numExperts: number): void {
  expectOption(where, name, k, `at most the number of experts ${numExperts}`, k <= numExperts);
}

/** Among which tokens those of an expert are counted: a batch row's or the whole batch's. */
export type Per = "row" | "batch";

/** @throws ConfigError unless it is "row" or "batch" */
export function expectPer(where: string, per: Per): void {
  if (per !== "row" && per !== "batch") throw new ConfigError(`${where}: per must be row or batch, got ${String(per)}`);
}

/** Of a router around another. @throws ConfigError if that is missing */
export function expectRouter(where: string, router: Router | undefined): void {
  if (router) return;
  throw new ConfigError(
    `${where}: a router must be given, got none; pass new TopKRouter({ numExpertsPerTok, normTopkProb })`,
  );
}

/** Of an option that is never guessed. @throws ConfigError unless it is true or false */
export function expectNormTopkProb(where: string, value: boolean): void {
  if (typeof value === "boolean") return;
  throw new ConfigError(
    `${where}: normTopkProb must be given as true or false, got ${String(value)}; see norm_topk_prob in config.json`,
  );
}
