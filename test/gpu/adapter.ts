// Before the tests of this group: sees to it that Dawn finds an adapter. Where there is no GPU that is the emulated one that comes with Chromium;
// its variables must be set before the process of the tests starts, and are left alone where they are set or a GPU answers without them.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

const chromium = process.env.CHROMIUM ?? "/usr/lib/chromium/chromium";
const emulators = [dirname(chromium), "/usr/lib/chromium"].map((folder) => join(folder, "vk_swiftshader_icd.json"));

/** In a process of its own, since a driver is looked for once. */
const ask = `
  import { create } from "webgpu";
  const adapter = await create([]).requestAdapter();
  const { vendor, architecture, description } = adapter?.info ?? {};
  console.log(adapter ? [vendor, architecture, description].filter(Boolean).join(" ") || "unnamed" : "");
  process.exit();`;

function adapterName(drivers: Readonly<Record<string, string>>): string {
  const options = { cwd: import.meta.dirname, env: { ...process.env, ...drivers }, encoding: "utf8" } as const;
  return execFileSync(process.execPath, ["--input-type=module", "-e", ask], options).trim();
}

export function setup(): void {
  let name = adapterName({});
  const emulator = emulators.find(existsSync);
  if (name === "" && emulator !== undefined) {
    const drivers = { VK_DRIVER_FILES: emulator, VK_ICD_FILENAMES: emulator };
    name = adapterName(drivers);
    Object.assign(process.env, drivers);
  }
  if (name === "") {
    throw new Error(
      "test/gpu: Dawn must find a GPU adapter, got none; install a driver, or apt-get install chromium libvulkan1 for an emulated one",
    );
  }
  console.log(`webgpu on ${name}`);
}
