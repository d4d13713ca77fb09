// The report: what each router did with the same experts and the same text.
import { heatMapLegend } from "../train-toy/heat-map.js";
import { figure, key, page, responsive } from "../train-toy/page.js";
import { escape } from "../train-toy/tables.js";
import type { Text } from "../train-toy/text.js";
import { curves, lines, loads } from "./charts.js";
import { sizes } from "./model.js";
import type { Recipe, Run } from "./run.js";

const style = `
.keys { margin-bottom: 16px; }
:root { --top-k: #2f6fb0; --sigmoid: #c2500a; --top-p: #7a4ea3; --expert-choice: #1b8a5a; --capacity: #b3356f; }
@media (prefers-color-scheme: dark) {
  :root { --top-k: #6db3f2; --sigmoid: #ff9d52; --top-p: #c39bea; --expert-choice: #5fd3a0; --capacity: #f58cbb; }
}
`;

export function reportPage(runs: readonly Run[], text: Text, { steps, contextLength, batchSize }: Recipe): string {
  const [half, third] = [460, 360];
  const legend = runs.map(({ contender: { color, name } }) => key(color, name)).join(" ");
  return page(
    "Five routers, one text",
    `<header>
<h1>Five routers, one text</h1>
<p class="lead">The same small decoder, ${sizes.numHiddenLayers} layers of ${sizes.numExperts} experts, learned from the same ${steps}
batches of ${batchSize} × ${contextLength} bytes of ${escape(text.name)}. Only the routers differ.</p>
</header>

<section>
<h2>At the end</h2>
<div class="card table">${summary(runs)}</div>
<p class="muted">Means over the layers and the last tenth of the steps; the loss is that of held-out text. That of expert choice is no fair one: it
sees later tokens.</p>
</section>

<section>
<h2>What it learned</h2>
${figure(
  responsive((width) => lines(runs, curves.loss, width)),
  `Running means. ${legend}`,
)}
</section>

<section>
<h2>What the routers did</h2>
<p>Lines are means over the layers, smoothed; where they coincide the last one is seen.</p>
<div class="keys muted">${legend}</div>
<div class="grid">
${figure(lines(runs, curves.busiest, half), "The busiest expert's load over the mean load.")}
${figure(lines(runs, curves.balance, half), "The load-balancing loss, whether it was trained or not. It counts the slots that were kept.")}
${figure(lines(runs, curves.idle, half), "Experts that no token of a step visits.")}
${figure(lines(runs, curves.activated, half), "The share of the experts that a token visits.")}
${figure(lines(runs, curves.dropped, half), "The share of the wanted slots that found their expert full.")}
${figure(lines(runs, curves.entropy, half), "Entropy of a token's softmax probabilities. A sigmoid router does not use these; they are shown for comparison.")}
</div>
</section>

<section>
<h2>Who gets the tokens</h2>
<p>The experts of the first layer, by router. Each column is a thirtieth of the run, each row an expert.</p>
<div class="legend">${heatMapLegend(400)}<p class="muted">Load relative to the fair share, by colour.</p></div>
<div class="thirds">
${runs.map((run) => figure(loads(run, 0, third), `<strong>${run.contender.name}</strong>. ${run.contender.about}`)).join("\n")}
</div>
</section>`,
    style,
  );
}

function summary(runs: readonly Run[]): string {
  const last = (values: readonly number[]): number => {
    const tail = values.slice(-Math.max(1, Math.floor(values.length / 10)));
    return tail.reduce((total, value) => total + value, 0) / tail.length;
  };
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const rows = runs.map((run) => {
    const cells = [
      run.heldOut.toFixed(3),
      last(curves.busiest.of(run)).toFixed(2),
      percent(last(curves.activated.of(run))),
      percent(last(curves.dropped.of(run))),
      last(curves.entropy.of(run)).toFixed(2),
      last(run.balances).toFixed(2),
    ];
    const values = cells.map((cell) => `<td class="number">${cell}</td>`).join("");
    return `<tr><th scope="row">${key(run.contender.color, run.contender.name)}</th>${values}</tr>`;
  });
  const heads = ["loss", "busiest / mean", "activated", "dropped", "entropy", "balance loss"];
  return `<table>
<thead><tr><th scope="col">Router</th>${heads.map((head) => `<th scope="col" class="number">${head}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>`;
}
