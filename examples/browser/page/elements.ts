// Elements of the page by id, and new ones.

type Child = Node | string;

/** @throws Error if index.html has none of this id */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`page: index.html must have an element #${id}`);
  return found as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A row of radio buttons that look like one control. */
export function segments(name: string, labels: readonly string[], onChange: (index: number) => void): HTMLElement[] {
  return labels.map((label, i) => {
    const input = make("input", { type: "radio", name, value: String(i), ...(i === 0 && { checked: "" }) });
    input.addEventListener("change", () => onChange(i));
    return make("label", {}, input, make("span", {}, label));
  });
}

export function table(
  caption: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): HTMLTableElement {
  return make(
    "table",
    {},
    make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head.map((cell) => make("th", { scope: "col" }, cell)))),
    make(
      "tbody",
      {},
      ...rows.map(([first, ...rest]) =>
        make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((cell) => make("td", {}, cell))),
      ),
    ),
  );
}

/** Fills a `details` with a table while it is open; what it shows is made only then. @returns what to call when the numbers changed */
export function tableIn(details: HTMLElement, rows: () => HTMLTableElement): () => void {
  const box = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" });
  details.append(box);
  const update = (): void => {
    if ((details as HTMLDetailsElement).open) box.replaceChildren(rows());
  };
  details.addEventListener("toggle", update);
  return update;
}
