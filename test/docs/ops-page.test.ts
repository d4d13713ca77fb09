// docs/ops.md is what the sources say.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { opsPage, pagePath } from "./ops-page.js";

test("docs/ops.md is up to date (npm run docs:ops writes it)", async () => {
  expect(readFileSync(pagePath, "utf8")).toBe(await opsPage());
});
