// What was measured with, as the head of every report.
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg } from "node:os";

export type Facts = Readonly<Record<string, string | number>>;

export function machineFacts(): Facts {
  return {
    processor: cpus()[0]?.model ?? "unknown",
    threads: availableParallelism(),
    // Other programs that wanted a processor in the last minute; a comparison needs a quiet machine.
    load: Number(loadavg()[0].toFixed(2)),
    system: `${process.platform} ${process.arch}`,
    node: process.versions.node,
  };
}

export function libraryVersion(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}

export function showFacts(facts: Facts): string {
  return Object.entries(facts)
    .map(([name, value]) => `${name}: ${value}`)
    .join(", ");
}
