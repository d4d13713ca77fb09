// The panel of formats: the model that writes, stored in fewer bits, and what that costs.
import { announce, clearError, megabytes, speed, type App } from "./app.js";
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
  let tried = new Map<string, [string, string, string]>();
  /** What the model writes in, and what the visitor chose last. */
  let current: string = formats[0];
  let wanted = current;
  let due = false;
  let storing = false;

  const show = (): void => {
    const rows = Array.from(tried, ([format, cells]) => [format, ...cells]);
    byId("formats-table").replaceChildren(
      table("Tried so far", ["Format", "Weights", "Held-out loss", "Writes"], rows),
    );
  };
  const store = async (): Promise<void> => {
    const [format, into] = [wanted, tried];
    const stored = await app.change(() => app.lab.call("store", format));
    if (stored !== undefined) {
      current = format;
      const { bytes, loss } = stored;
      into.delete(format);
      into.set(format, [megabytes(bytes), loss.toFixed(3), "–"]);
      show();
      announce(`The model writes in ${format} now: ${megabytes(bytes)}, held-out loss ${loss.toFixed(3)}.`);
    } else if (wanted === format) wanted = current;
    select.value = wanted;
  };
  /** Stores in what is wanted, one at a time; of those that are chosen meanwhile, the last. */
  const keepUp = async (): Promise<void> => {
    due = true;
    if (storing) return;
    storing = true;
    while (due) {
      due = false;
      await store();
    }
    storing = false;
  };
  select.addEventListener("change", () => {
    clearError();
    wanted = select.value;
    void keepUp();
  });
  select.disabled = false; // also while it stores: a disabled control loses the focus
  const measure = (): void => {
    tried = new Map(); // a format that is being stored goes into the old one
    void keepUp();
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
