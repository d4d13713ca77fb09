// The report: one page of HTML that needs nothing but itself.
import { cpus } from "node:os";
import { readFileSync } from "node:fs";
import { countParameters, type Backend } from "qwen-blocks";
import { auxLossChart, balanceChart, entropyChart, loadProfile, lossChart } from "./charts.js";
import type { Findings } from "./findings.js";
import { heatMap, heatMapLegend } from "./heat-map.js";
import { mean, type History } from "./history.js";
import type { Settings } from "./settings.js";
import type { Text } from "./text.js";

export interface ReportContent {
  readonly settings: Settings;
  readonly text: Text;
  readonly history: History;
  readonly findings: Findings;
  readonly backend: Backend;
  /** Of this library. */
  readonly version: string;
}

export function reportPage(content: ReportContent): string {
  const { settings, findings, history } = content;
  const { config } = settings.recipe;
  const { total, active } = countParameters(config);
  const { validation, entropies, balance, sample } = findings;
  const half = (draw: (width: number) => string): string => draw(460);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A toy mixture of experts, trained with qwen-blocks</title>
<style>
${readFileSync(new URL("./report.css", import.meta.url), "utf8")}</style>
</head>
<body>
<main>
<header>
<h1>A toy mixture of experts learns to write</h1>
<p class="lead">${millions(total)} parameters, of which each byte of text uses ${millions(active)}: in every layer a router sends it to
${config.numExpertsPerTok} of ${config.numExperts} experts. This is what ${history.losses.length} training steps made of it.</p>
<dl class="numbers">
${number("Loss on held-out text", validation.toFixed(3), "nats per token")}
${number("Under the unigram entropy", `${(100 * (1 - validation / entropies.unigram.entropy)).toFixed(0)} %`, "what counting tokens cannot reach")}
${number("Largest / mean expert load", mean(balance).toFixed(2), "last tenth of the steps; 1 is perfect")}
${number("Training speed", speed(history, settings).toFixed(0), `tokens per second, backend ${escape(content.backend.name)}`)}
</dl>
</header>

<section>
<h2>What it learned</h2>
<p>The loss is the surprise at each next token, in nats: lower is better. The dashed lines are models that only count tokens, or pairs of
tokens, in the training part.</p>
${figure(
  responsive((width) => lossChart(history, findings, width)),
  `${key("--training", "training, each step and running mean")} ${key("--held-out", "held-out text, a part of it")}`,
)}
</section>

<section>
<h2>Beside models that only count</h2>
<div class="grid">
${figure(
  half((width) => entropyChart(findings, width)),
  `Mean over ${findings.heldOutTokens} held-out tokens. Unigram and bigram: counts of the training part, each plus one.`,
)}
<div class="card table">${entropyTable(findings)}</div>
</div>
</section>

<section>
<h2>Who gets the tokens</h2>
<p>Left alone, a router soon sends everything to a few experts. The load-balancing loss, here with weight ${settings.aux}, works against
that. Each column below is a thirtieth of the run, each row an expert.</p>
<div class="legend">${heatMapLegend(400)}<p class="muted">Load relative to the fair share, by colour.</p></div>
<div class="grid">
${history.loads
  .map((_, layer) =>
    figure(
      half((width) => heatMap(history, layer, width)),
      `Layer ${layer}. Over the last tenth of the run its busiest expert had ${balance[layer].toFixed(2)} times the mean load.`,
    ),
  )
  .join("\n")}
${figure(
  half((width) => balanceChart(history, width)),
  "The busiest expert's load over the mean load of a step, mean of the layers.",
)}
${figure(
  half((width) => auxLossChart(history, config.numExpertsPerTok, width)),
  `The load-balancing loss; ${config.numExpertsPerTok}, the number of experts that a token visits, is perfect balance.`,
)}
${figure(
  half((width) => loadProfile(history, width)),
  `Load of all experts in the last tenth of the run, busiest first. ${history.loads.map((_, layer) => key(seriesColors[layer % seriesColors.length], `layer ${layer}`)).join(" ")}`,
)}
</div>
</section>

<section>
<h2>What it writes</h2>
<p>The beginning of a document, drawn at temperature 0.8 with half a context of ${settings.recipe.contextLength} bytes in view. � stands for
bytes that are no UTF-8.</p>
<div class="card"><pre>${escape(sample)}</pre></div>
</section>

<section>
<h2>The run</h2>
<div class="card table">${factTable(content)}</div>
</section>
</main>
</body>
</html>
`;
}

/** Of the layers in the load profile, in order. */
export const seriesColors = ["--training", "--held-out", "--balance"];

/** Small screens get a picture of their own, because text in a shrunken one cannot be read. */
function responsive(draw: (width: number) => string): string {
  return `<div class="wide">${draw(1040)}</div><div class="narrow">${draw(460)}</div>`;
}

function figure(picture: string, caption: string): string {
  return `<figure>${picture}<figcaption>${caption}</figcaption></figure>`;
}

function number(name: string, value: string, note: string): string {
  return `<div><dt>${name}</dt><dd>${value}</dd><dd>${note}</dd></div>`;
}

function key(color: string, name: string): string {
  return `<span class="key" style="--color: var(${color})">${name}</span>`;
}

function entropyTable({ validation, entropies: { uniform, unigram, bigram } }: Findings): string {
  const row = (name: string, nats: number): string => {
    const lower = `${(100 * (1 - validation / nats)).toFixed(1)} %`;
    return `<tr><th scope="row">${name}</th><td class="number">${nats.toFixed(3)}</td><td class="number">${lower}</td></tr>`;
  };
  return `<table>
<thead><tr><th scope="col">Model</th><th scope="col" class="number">nats</th><th scope="col" class="number">ours is lower by</th></tr></thead>
<tbody>
<tr><th scope="row">this model</th><td class="number">${validation.toFixed(3)}</td><td></td></tr>
${row("uniform", uniform)}
${row("unigram, counted in the training part", unigram.crossEntropy)}
${row("unigram, entropy of the held-out tokens", unigram.entropy)}
${row("bigram, counted in the training part", bigram.crossEntropy)}
${row("bigram, entropy of the held-out tokens", bigram.entropy)}
</tbody>
</table>`;
}

function factTable({ settings, text, history, backend, version }: ReportContent): string {
  const { recipe, seed, steps, aux } = settings;
  const { config, ...rates } = recipe;
  const facts: Record<string, string> = {
    Text: `${text.name}: ${text.bytes} bytes in ${text.files} files, the last tenth of each held out`,
    "SHA-256 of the text": text.sha256,
    Seed: String(seed),
    "Load-balancing weight": String(aux),
    Steps: `${steps} of ${rates.batchSize} windows of ${rates.contextLength} tokens`,
    Optimizer: `AdamW, peak learning rate ${rates.peakLearningRate} after ${100 * rates.warmup} % of the steps, then a cosine to 0, weight decay ${rates.weightDecay}, gradient norm at most ${rates.maxGradNorm}`,
    Parameters: `${countParameters(config).total}, active ${countParameters(config).active}`,
    "Training time": `${history.seconds.toFixed(0)} s, ${speed(history, settings).toFixed(0)} tokens per second`,
    Backend: [backend.name, ...Object.entries(backend.info).map(([name, value]) => `${name}: ${value}`)].join(", "),
    Machine: `${cpus()[0]?.model ?? "unknown processor"}, Node ${process.versions.node}`,
    "qwen-blocks": version,
  };
  const configText = JSON.stringify(config, undefined, 1)
    .replaceAll(/[{}"]|,$/gm, "")
    .trim();
  const rows = Object.entries({ ...facts, Config: configText }).map(([name, value]) => {
    const shown = name === "Config" ? `<pre>${escape(value)}</pre>` : escape(value);
    return `<tr><th scope="row">${name}</th><td>${shown}</td></tr>`;
  });
  return `<table><tbody>\n${rows.join("\n")}\n</tbody></table>`;
}

function speed({ losses, seconds }: History, { recipe: { batchSize, contextLength } }: Settings): number {
  return (losses.length * batchSize * contextLength) / seconds;
}

function millions(count: number): string {
  return count < 1e6 ? `${Math.round(count / 1000)} thousand` : `${(count / 1e6).toFixed(2)} million`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
