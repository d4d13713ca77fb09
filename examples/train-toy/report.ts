// The report: one page of HTML that needs nothing but itself.
import { countParameters, type Backend, type Qwen3Config } from "qwen-blocks";
import { auxLossChart, balanceChart, entropyChart, layerColors, loadProfile, lossChart } from "./charts.js";
import type { Findings } from "./findings.js";
import { heatMap, heatMapLegend } from "./heat-map.js";
import { mean, type History } from "./history.js";
import { figure, key, number, page, responsive } from "./page.js";
import { temperature } from "./sample.js";
import type { Settings } from "./settings.js";
import { entropyTable, escape, factTable, speed, storedTable } from "./tables.js";
import type { Text } from "./text.js";

export interface ReportContent {
  readonly settings: Settings;
  /** As the checkpoint has it. */
  readonly config: Qwen3Config;
  readonly text: Text;
  readonly history: History;
  readonly findings: Findings;
  readonly backend: Backend;
  /** Of this library. */
  readonly version: string;
}

export function reportPage(content: ReportContent): string {
  const { settings, config, findings, history } = content;
  const { total, active } = countParameters(config);
  const { validation, entropies, balance, stored, sample } = findings;
  const [half, third] = [460, 360];
  return page(
    "A toy mixture of experts, trained with qwen-blocks",
    `<header>
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
  entropyChart(findings, half),
  `Mean over ${findings.heldOutTokens} held-out tokens. Unigram and bigram: counts of the training part, each plus one.`,
)}
<div class="card table">${entropyTable(findings)}</div>
</div>
</section>

<section>
<h2>Who gets the tokens</h2>
<p>Left alone, a router soon sends everything to a few experts. ${
      settings.aux === 0
        ? "This run left it alone: the load-balancing loss had weight 0."
        : `The load-balancing loss, here with weight ${settings.aux}, works against that.`
    } Each column below is a thirtieth of the run, each row an expert.</p>
<div class="legend">${heatMapLegend(400)}<p class="muted">Load relative to the fair share, by colour.</p></div>
<div class="grid">
${history.loads
  .map((_, layer) =>
    figure(
      heatMap(history, layer, half),
      `Layer ${layer}. Over the last tenth of the run its busiest expert had ${balance[layer].toFixed(2)} times the mean load.`,
    ),
  )
  .join("\n")}
</div>
<div class="thirds">
${figure(balanceChart(history, third), "The busiest expert's load over the mean load of a step, mean of the layers.")}
${figure(
  auxLossChart(history, config.numExpertsPerTok, third),
  `The load-balancing loss; ${config.numExpertsPerTok}, the number of experts that a token visits, is perfect balance.`,
)}
${figure(
  loadProfile(history, third),
  `Load of all experts in the last tenth of the run, busiest first. ${history.loads.map((_, layer) => key(layerColors[layer % layerColors.length], `layer ${layer}`)).join(" ")}`,
)}
</div>
</section>

<section>
<h2>In few bits</h2>
<p>The same model with its matrices packed: routers and norms stay f32, and products round their inputs to 8 bits. q8_0 takes 8.5 bits per weight,
q4_0 4.5. Nats are those of the held-out tokens, tokens/s of writing what
follows.</p>
<div class="card table">${storedTable(findings)}</div>
</section>

<section>
<h2>What it writes</h2>
<p>The beginning of a document, by the model in ${stored[stored.length - 1].format}, drawn at temperature ${temperature} with half a context of ${settings.recipe.contextLength} bytes in view. � stands for
bytes that are no UTF-8.</p>
<div class="card"><pre>${escape(sample)}</pre></div>
</section>

<section>
<h2>The run</h2>
<div class="card table">${factTable(content)}</div>
</section>`,
  );
}

function millions(count: number): string {
  return count < 1e6 ? `${Math.round(count / 1000)} thousand` : `${(count / 1e6).toFixed(2)} million`;
}
