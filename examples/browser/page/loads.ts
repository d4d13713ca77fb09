// The panel of loads: what each expert got to do, layer by layer, while the model writes or trains.
import type { Token } from "../lab/messages.js";
import type { App } from "./app.js";
import { byId, make, table, tableIn } from "./elements.js";
import { drawing } from "./frames.js";
import { HeatMap } from "./heat-map.js";

/** Rows of a map. */
const remembered = 64;

type Source = "writing" | "training";

export interface Loads {
  /** A new text: what the last one did is gone. */
  clearWriting(): void;
  /** Another model: what the last one's training did is gone. */
  clearTraining(): void;
  wrote(tokens: readonly Token[]): void;
  /** @param shares [layer][expert], in fair shares */
  stepped(shares: readonly Float32Array[]): void;
  redraw(): void;
}

export function mountLoads({ toy: { numLayers, numExperts } }: App): Loads {
  /** [source][layer][time][expert] */
  const empty = (): Float32Array[][] => Array.from({ length: numLayers }, () => []);
  const rows: Record<Source, Float32Array[][]> = { writing: empty(), training: empty() };
  let shown: Source = "writing";
  const boxes = Array.from({ length: numLayers }, () => make("div"));
  const maps = boxes.map((box) => new HeatMap(box, [0, 1, 4, 16]));
  byId("loads-maps").append(
    ...boxes.map((box, layer) =>
      make("figure", {}, make("figcaption", {}, `Layer ${layer + 1}`), box, axis(numExperts)),
    ),
  );
  const inputs = [...byId("loads-of").querySelectorAll("input")];

  const drawings = boxes.map((_, layer) => drawing(() => drawLayer(layer), 120));
  const updateTable = tableIn(byId("loads-table"), () => tableOf(rows[shown], shown));
  const refreshTable = drawing(updateTable, 1000);
  const redraw = (): void => [...drawings, refreshTable].forEach((draw) => draw());

  const drawLayer = (layer: number): void => {
    const layerRows = rows[shown][layer];
    const values = new Float32Array(remembered * numExperts).fill(NaN);
    layerRows.forEach((row, i) => values.set(row, i * numExperts));
    const state = layerRows.length > 0 ? inWords(layerRows) : "nothing yet.";
    maps[layer].draw(`Layer ${layer + 1} while ${shown}: ${state}`, values, numExperts);
  };
  const add = (source: Source, layer: number, row: Float32Array): void => {
    rows[source][layer].push(row);
    if (rows[source][layer].length > remembered) rows[source][layer].shift();
  };
  const show = (source: Source): void => {
    shown = source;
    for (const input of inputs) input.checked = input.value === source;
    redraw();
  };

  for (const input of inputs) input.addEventListener("change", () => show(input.value as Source));
  return {
    clearWriting() {
      rows.writing = empty();
    },
    clearTraining() {
      rows.training = empty();
      if (shown === "training") redraw();
    },
    wrote(tokens) {
      for (const { experts, weights } of tokens) {
        experts.forEach((chosen, layer) => {
          const row = new Float32Array(numExperts);
          chosen.forEach((expert, slot) => (row[expert] += weights[layer][slot] * numExperts));
          add("writing", layer, row);
        });
      }
      if (shown === "writing") redraw();
    },
    stepped(shares) {
      if (rows.training[0].length === 0) show("training");
      shares.forEach((row, layer) => add("training", layer, row));
      if (shown === "training") redraw();
    },
    redraw,
  };
}

/** The numbers of some experts, below their columns. */
function axis(numExperts: number): HTMLElement {
  const named = [0, 0.25, 0.5, 0.75].map((share) => make("span", {}, String(Math.round(share * numExperts))));
  return make("div", { class: "axis", "aria-hidden": "true" }, ...named, make("span", {}, `expert ${numExperts - 1}`));
}

function totals(rows: readonly Float32Array[]): Float32Array {
  const total = new Float32Array(rows[0].length);
  for (const row of rows) row.forEach((share, expert) => (total[expert] += share / rows.length));
  return total;
}

function inWords(rows: readonly Float32Array[]): string {
  const mean = totals(rows);
  const most = mean.indexOf(Math.max(...mean));
  const idle = mean.filter((share) => share < 0.1).length;
  return `expert ${most} has most, ${mean[most].toFixed(1)} times its fair share; ${idle} of ${mean.length} have less than a tenth of theirs.`;
}

function tableOf(layers: readonly (readonly Float32Array[])[], source: Source): HTMLTableElement {
  const means = layers.map((rows) => (rows.length > 0 ? totals(rows) : new Float32Array(0)));
  return table(
    `Mean load while ${source}, in fair shares`,
    ["Expert", ...means.map((_, layer) => `Layer ${layer + 1}`)],
    Array.from(means[0], (_, expert) => [String(expert), ...means.map((mean) => mean[expert].toFixed(2))]),
  );
}
