// The parts of a report that are the same in every one: a page of HTML that needs nothing but itself.
import { readFileSync } from "node:fs";

/** @param style added to that of all reports */
export function page(title: string, body: string, style = ""): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<style>
${readFileSync(new URL("./report.css", import.meta.url), "utf8")}${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

/** Small screens get a picture of their own, because text in a shrunken one cannot be read. */
export function responsive(draw: (width: number) => string): string {
  return `<div class="wide">${draw(1040)}</div><div class="narrow">${draw(460)}</div>`;
}

export function figure(picture: string, caption: string): string {
  return `<figure>${picture}<figcaption>${caption}</figcaption></figure>`;
}

export function number(name: string, value: string, note: string): string {
  return `<div><dt>${name}</dt><dd>${value}</dd><dd>${note}</dd></div>`;
}

/** Of a line in a picture. */
export function key(color: string, name: string): string {
  return `<span class="key" style="--color: var(${color})">${name}</span>`;
}
