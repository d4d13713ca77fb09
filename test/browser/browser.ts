// A Chromium without a window.
import { chromium, type Browser } from "playwright-core";

/** Give pages WebGPU, on the GPU that Chromium emulates. */
export const emulatedGpu: readonly string[] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];

/** Give pages WebGL2, on the GPU that Chromium emulates. */
export const emulatedGl: readonly string[] = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"];

/** The installed one, or that of the variable CHROMIUM. @param flags what it is to do about the GPU: nothing unless given */
export function launchBrowser(flags: readonly string[] = ["--disable-gpu"]): Promise<Browser> {
  const quiet = ["--no-first-run", "--disable-background-networking"];
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [...flags, "--no-sandbox", ...quiet, "--disable-component-update", "--disable-sync"], // root has no sandbox
    timeout: 120_000,
  });
}
