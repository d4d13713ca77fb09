// The report's tables, as HTML.
import { cpus } from "node:os";
import { countParameters } from "qwen-blocks";
import type { Findings } from "./findings.js";
import type { History } from "./history.js";
import type { ReportContent } from "./report.js";
import type { Settings } from "./settings.js";

/** Text as HTML shows it. */
export function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Training tokens per second. */
export function speed({ losses, seconds }: History, { recipe: { batchSize, contextLength } }: Settings): number {
  return (losses.length * batchSize * contextLength) / seconds;
}

export function entropyTable({ validation, entropies: { uniform, unigram, bigram } }: Findings): string {
  const cell = (nats: number): string => {
    const lower = `ours −${(100 * (1 - validation / nats)).toFixed(1)} %`;
    return `<td class="number">${nats.toFixed(3)}<br><small class="muted">${lower}</small></td>`;
  };
  const row = (name: string, ...nats: number[]): string =>
    `<tr><th scope="row">${name}</th>${nats.map(cell).join("")}</tr>`;
  return `<table>
<thead><tr><th scope="col">Model</th><th scope="col" class="number">counted in the<br>training part</th>
<th scope="col" class="number">entropy of the<br>held-out tokens</th></tr></thead>
<tbody>
${row("uniform", uniform, uniform)}
${row("unigram", unigram.crossEntropy, unigram.entropy)}
${row("bigram", bigram.crossEntropy, bigram.entropy)}
</tbody>
</table>`;
}

export function storedTable({ stored }: Findings): string {
  const [{ bytes: whole, validation: best }] = stored;
  const cell = (text: string, note: string): string =>
    `<td class="number">${text}<br><small class="muted">${note}</small></td>`;
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const rows = stored.map(
    ({ format, bytes, validation, tokensPerSecond }) => `<tr><th scope="row">${format}</th>
${cell(`${(bytes / 1e6).toFixed(2)} MB`, percent(bytes / whole))}
${cell(validation.toFixed(3), `${validation < best ? "−" : "+"}${percent(Math.abs(validation / best - 1))}`)}
${cell(tokensPerSecond.toFixed(0), `${(tokensPerSecond / stored[0].tokensPerSecond).toFixed(2)} times f32`)}</tr>`,
  );
  return `<table>
<thead><tr><th scope="col">Format</th><th scope="col" class="number">size</th><th scope="col" class="number">nats per token</th>
<th scope="col" class="number">tokens/s</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>`;
}

export function factTable({ settings, config, text, history, backend, version }: ReportContent): string {
  const { recipe, seed, steps, aux } = settings;
  const { contextLength, batchSize, peakLearningRate, warmup, weightDecay, maxGradNorm } = recipe;
  const { total, active } = countParameters(config);
  const facts: Record<string, string> = {
    Text: `${text.name}: ${text.bytes} bytes in ${text.files} files, the last tenth of each held out`,
    "SHA-256 of the text": text.sha256,
    Seed: String(seed),
    "Load-balancing weight": String(aux),
    Steps: `${steps} of ${batchSize} windows of ${contextLength} tokens`,
    Optimizer:
      `AdamW, learning rate ${peakLearningRate} after ${100 * warmup} % of the steps, then a cosine to 0, ` +
      `weight decay ${weightDecay}, gradient norm at most ${maxGradNorm}`,
    Parameters: `${total}, active per token ${active}`,
    "Training time": `${history.seconds.toFixed(0)} s, ${speed(history, settings).toFixed(0)} tokens per second`,
    Backend: [backend.name, ...Object.entries(backend.info).map(([name, value]) => `${name}: ${value}`)].join(", "),
    Machine: `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.versions.node}`,
    "qwen-blocks": version,
  };
  const rows = Object.entries(facts).map(([name, value]) => factRow(name, escape(value)));
  return `<table><tbody>
${rows.join("\n")}
${factRow("Model", `<pre>${escape(JSON.stringify(config, undefined, 2))}</pre>`)}
</tbody></table>`;
}

function factRow(name: string, html: string): string {
  return `<tr><th scope="row">${name}</th><td>${html}</td></tr>`;
}
