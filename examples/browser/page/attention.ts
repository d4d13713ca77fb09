// The panel of attention: one head of one layer over the end of the text, as a map, as shaded text, and as a table.
import type { Attended } from "../lab/messages.js";
import { percent, showError, type App } from "./app.js";
import { nameOf, signOf, Spelling } from "./bytes.js";
import { byId, make, table, tableIn } from "./elements.js";
import { drawing } from "./frames.js";
import { HeatMap } from "./heat-map.js";

export interface AttentionPanel {
  /** Looks at the end of a text anew. */
  look(ids: readonly number[]): void;
  /** Shows what a token of a text looked at, if it is among the last, as soon as that text is looked at. */
  select(index: number, ids: readonly number[]): void;
  redraw(): void;
}

export function mountAttention({ lab, toy }: App): AttentionPanel {
  const layer = byId<HTMLSelectElement>("layer");
  const head = byId<HTMLSelectElement>("head");
  const query = byId<HTMLInputElement>("query");
  const numbers = (count: number): HTMLOptionElement[] =>
    Array.from({ length: count }, (_, i) => make("option", { value: String(i) }, String(i + 1)));
  layer.append(...numbers(toy.numLayers));
  head.append(...numbers(toy.numHeads));
  const heat = new HeatMap(byId("attend-chart"), [0, 0.1, 0.4, 1], (row) => {
    query.value = String(row);
    redraw();
  });
  let attended: Attended | undefined;
  let spelled: readonly string[] = [];
  /** The text that attended is of. */
  let text: readonly number[] = [];
  /** Which token was chosen last, and of what text as far as it was written. */
  let chosen: { readonly index: number; readonly ids: readonly number[] } | undefined;

  const weights = (): Float32Array | undefined => attended?.weights[Number(layer.value)][Number(head.value)];
  const row = (): readonly number[] => {
    const size = attended?.tokens.length ?? 0;
    const at = Number(query.value);
    return Array.from(weights()?.subarray(at * size, at * size + at + 1) ?? []);
  };
  const names = (): string[] => (attended?.tokens ?? []).map((id, i) => nameOf(id, spelled[i]));

  const showText = (): void => {
    if (attended === undefined) return;
    const at = Number(query.value);
    const shares = row();
    const most = Math.max(...shares);
    const box = byId("attended");
    box.replaceChildren(
      ...attended.tokens.map((id, i) => {
        const shade = i > at ? "later" : i === at ? "query" : "seen";
        return make(
          "span",
          { class: shade, style: `--weight: ${((shares[i] ?? 0) / most).toFixed(3)}` },
          signOf(id, spelled[i]),
        );
      }),
    );
    const name = names()[at];
    query.setAttribute("aria-valuetext", `${at + 1}: ${name}`);
    const best = shares.indexOf(most);
    box.setAttribute(
      "aria-label",
      `${name}, token ${at + 1}, looks most at ${names()[best]}, token ${best + 1}: ${percent(most)}`,
    );
  };
  const drawMap = (): void => {
    const map = weights();
    if (map === undefined) return;
    const label = `Attention of head ${Number(head.value) + 1} in layer ${Number(layer.value) + 1}; the table below has its numbers.`;
    const size = attended?.tokens.length ?? 0;
    const seen = map.map((weight, i) => (i % size > Math.floor(i / size) ? NaN : weight));
    heat.draw(label, seen, size, Number(query.value));
  };
  const updateTable = tableIn(byId("attend-table"), () => {
    const [all, shares] = [names(), row()];
    const order = shares.map((share, i) => ({ share, i })).sort((a, b) => b.share - a.share);
    const rows = order.map(({ share, i }) => [String(i + 1), all[i], percent(share)]);
    return table(
      `What token ${Number(query.value) + 1}, ${all[Number(query.value)]}, looks at`,
      ["Token", "Is", "Weight"],
      rows,
    );
  });
  const parts = [drawing(showText, 60), drawing(drawMap, 200), drawing(updateTable, 200)];
  const redraw = (): void => parts.forEach((draw) => draw());

  for (const control of [layer, head, query]) {
    control.addEventListener("input", redraw);
    control.disabled = false;
  }
  const window = (ids: readonly number[]): readonly number[] => ids.slice(-toy.contextLength);
  /** A choice in a text that is not looked at yet waits until it is. */
  const showChosen = (): void => {
    if (chosen === undefined || text.length === 0 || !chosen.ids.every((id, i) => id === text[i])) return;
    const at = chosen.index - (text.length - window(text).length);
    if (at < 0) return;
    query.value = String(at);
    redraw();
  };
  return {
    look(ids) {
      if (ids.length === 0) return;
      lab.call("attend", window(ids)).then((found) => {
        attended = found;
        const spelling = new Spelling();
        spelled = found.tokens.map((id) => spelling.next(id));
        text = ids;
        query.max = String(found.tokens.length - 1);
        query.value = query.max;
        showChosen();
        redraw();
      }, showError);
    },
    select(index, ids) {
      chosen = { index, ids };
      showChosen();
    },
    redraw,
  };
}
