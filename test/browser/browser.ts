// A Chromium without a window.
import { chromium, type Browser } from "playwright-core";

/** The installed one, or that of the variable CHROMIUM. */
export function launchBrowser(): Promise<Browser> {
  const quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking"];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", ...quiet, "--disable-component-update", "--disable-sync"], // root has no sandbox
    timeout: 120_000,
  });
}
