// The panel of formats: the model that writes, stored in fewer bits, and what that costs.
import { announce, megabytes, speed, type App } from "./app.js";
import { byId, make, table } from "./elements.js";

/** Those whose blocks divide the toy's matrices; the library has more. */
export const formats = ["f32", "bf16", "q8_0", "int8", "fp8_e4m3", "q5_0", "q4_0", "q4_1", "iq4_nl", "mxfp4"] as const;

export interface Formats {
  /** How fast the chosen one writes. */
  wrote(tokensPerSecond: number): void;
  /** The model is another one now: what was measured holds no more. */
  measure(): void;
}

export function mountFormats(app: App): Formats {
  const select = byId<HTMLSelectElement>("format");
  select.append(...formats.map((format) => make("option", {}, format)));
  /** By format, in the order of trying: bytes, loss, speed. */
  const tried = new Map<string, [string, string, string]>();
  let current: string = formats[0];

  const show = (): void => {
    const rows = Array.from(tried, ([format, cells]) => [format, ...cells]);
    byId("formats-table").replaceChildren(
      table("Tried so far", ["Format", "Weights", "Held-out loss", "Writes"], rows),
    );
  };
  const store = async (format: string): Promise<void> => {
    select.disabled = true;
    const stored = await app.change(() => app.lab.call("store", format));
    select.disabled = false;
    if (stored === undefined) {
      select.value = current;
      return;
    }
    current = format;
    const { bytes, loss } = stored;
    tried.delete(format);
    tried.set(format, [megabytes(bytes), loss.toFixed(3), "–"]);
    show();
    announce(`The model writes in ${format} now: ${megabytes(bytes)}, held-out loss ${loss.toFixed(3)}.`);
  };
  select.addEventListener("change", () => void store(select.value));
  const measure = (): void => {
    tried.clear();
    void store(current);
  };
  measure();
  return {
    measure,
    wrote(tokensPerSecond) {
      const cells = tried.get(current);
      if (cells === undefined) return;
      cells[2] = speed(tokensPerSecond);
      show();
    },
  };
}
