// The report: what each format costs and what it keeps.
import { figure, key, page, responsive } from "../train-toy/page.js";
import { escape } from "../train-toy/tables.js";
import { divergences, modelColors } from "./charts.js";
import type { Stored } from "./compare.js";
import type { Comparison } from "./run.js";

export function reportPage(comparisons: readonly Comparison[], backend: string): string {
  const legend = comparisons.map(({ name }, i) => key(modelColors[i % modelColors.length], name)).join(" ");
  return page(
    "One model in many formats",
    `<header>
<h1>One model in many formats</h1>
<p class="lead">The matrices of a trained mixture of experts, stored in 4 to 16 bits: what that takes and what it loses. Norms and routers stay f32.</p>
</header>

<section>
<h2>How far from f32</h2>
${figure(
  responsive((width) => divergences(comparisons, width)),
  `Divergence of the next-token distributions from those of the f32 model, on held-out text; after each name its bits per weight. ${legend}`,
)}
</section>

${comparisons.map(section).join("\n")}
<p class="muted">Backend ${escape(backend)}. Loss: nats per held-out token. Top-1: share of the tokens for which the same token comes first as in f32.
Speed in tokens per second, prefill of a batch of texts, decoding of one; medians.</p>`,
  );
}

function section({ name, steps, widths, stored }: Comparison): string {
  return `<section>
<h2>${name}</h2>
<p>${steps} training steps; rows of ${widths} numbers.</p>
<div class="card table">${table(stored)}</div>
</section>`;
}

function table(all: readonly Stored[]): string {
  const [{ loss: best, bytes: whole }] = all;
  const cell = (text: string, note = ""): string =>
    `<td class="number">${text}${note && `<br><small class="muted">${note}</small>`}</td>`;
  const percent = (share: number, digits = 1): string => `${(100 * share).toFixed(digits)} %`;
  const rows = all.map(
    ({ format, bitsPerWeight, bytes, loss, divergence, sameFirst, prefill, decode, withSource }) => `<tr>
<th scope="row">${escape(format.name)}<br><small class="muted">${escape(format.about)}</small></th>
${cell(bitsPerWeight.toFixed(2))}
${cell(`${(bytes / 1e6).toFixed(2)} MB`, percent(bytes / whole))}
${cell(loss.toFixed(4), `${loss < best ? "−" : "+"}${percent(Math.abs(loss / best - 1), 2)}`)}
${cell(divergence.toFixed(5))}
${cell(percent(sameFirst), withSource && `${percent(withSource.sameFirst)} with ${format.madeFrom}`)}
${cell(prefill.toFixed(0))}
${cell(decode.toFixed(0))}</tr>`,
  );
  const heads = ["bits per weight", "size", "loss", "KL", "top-1", "prefill", "decode"];
  return `<table>
<thead><tr><th scope="col">Format</th>${heads.map((head) => `<th scope="col" class="number">${head}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>`;
}
