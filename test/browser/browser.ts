// A Chromium without a window.
import { chromium, type Browser } from "playwright-core";

/** The emulated GPU that Chromium brings. */
const emulated = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** The installed one, or that of the variable CHROMIUM. @param gpu whether pages get WebGPU */
export function launchBrowser({ gpu = false }: { readonly gpu?: boolean } = {}): Promise<Browser> {
  const quiet = [...(gpu ? emulated : ["--disable-gpu"]), "--no-first-run", "--disable-background-networking"];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", ...quiet, "--disable-component-update", "--disable-sync"], // root has no sandbox
    timeout: 120_000,
  });
}
