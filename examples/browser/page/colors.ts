// Colours of experts and of charts.

/** Neighbours get far hues: experts that work together are told apart. */
export function hueOf(expert: number): number {
  return (expert * 137.508) % 360;
}

/** A custom property of the page, as charts on a canvas need it. */
export function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const key = "qwen-blocks-theme";

/** The switch: what the system prefers, or light, or dark; kept from visit to visit where the browser lets a page keep anything. */
export function mountTheme(switches: HTMLElement, redraw: () => void): void {
  const apply = (theme: string): void => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    redraw();
  };
  const inputs = [...switches.querySelectorAll("input")];
  const saved = inputs.find(({ value }) => value === storage()?.getItem(key))?.value ?? "auto";
  for (const input of inputs) {
    input.checked = input.value === saved;
    input.addEventListener("change", () => {
      apply(input.value);
      storage()?.setItem(key, input.value);
    });
  }
  if (saved !== "auto") document.documentElement.dataset.theme = saved;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/** Undefined where the visitor blocks what sites store: the mere look at it throws there. */
function storage(): Storage | undefined {
  try {
    return localStorage;
  } catch {
    return undefined;
  }
}
