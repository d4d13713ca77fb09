// The findings in a few lines for the terminal.
import { join } from "node:path";
import { mean } from "./history.js";
import type { Findings } from "./findings.js";

export function showSummary(
  { validation, heldOutTokens, entropies, balance, stored, sample }: Findings,
  out: string,
): string {
  const { uniform, unigram, bigram } = entropies;
  const row = (name: string, nats: number, note = ""): string => `  ${name.padEnd(34)}${nats.toFixed(3)}  ${note}`;
  const under = (nats: number): string => `the model is ${(100 * (1 - validation / nats)).toFixed(1)} % lower`;
  return [
    "",
    `Nats per token on ${heldOutTokens} held-out tokens:`,
    row("this model", validation),
    row("uniform", uniform, under(uniform)),
    row("unigram, counted in training part", unigram.crossEntropy, under(unigram.crossEntropy)),
    row("unigram, entropy of the tokens", unigram.entropy, under(unigram.entropy)),
    row("bigram, counted in training part", bigram.crossEntropy, under(bigram.crossEntropy)),
    row("bigram, entropy of the tokens", bigram.entropy, under(bigram.entropy)),
    "",
    `Largest over mean expert load, last tenth: ${mean(balance).toFixed(2)} (by layer: ${balance.map((load) => load.toFixed(2)).join(", ")})`,
    "",
    "Stored in few bits:        size     nats per token   tokens/s",
    ...stored.map(
      ({ format, bytes, validation: nats, tokensPerSecond }) =>
        `  ${format.padEnd(18)}${(bytes / 1e6).toFixed(2).padStart(8)} MB${nats.toFixed(3).padStart(15)}${tokensPerSecond.toFixed(0).padStart(13)}`,
    ),
    "",
    `In ${stored[stored.length - 1].format} it writes:`,
    sample.replace(/^/gm, "  | "),
    "",
    `Report: ${join(out, "report.html")}, checkpoint: ${join(out, "checkpoint")}`,
  ].join("\n");
}
