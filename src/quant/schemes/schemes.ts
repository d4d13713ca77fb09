// The built-in schemes by name. A scheme of one's own is passed to whoever takes a record like this one; nothing registers itself.
import { BackendError } from "../../core/errors.js";
import type { SchemeName } from "../../core/view.js";
import { bf16, f16 } from "./float.js";
import { q4_0 } from "./q4.js";
import { q8_0 } from "./q8.js";
import type { Scheme } from "./scheme.js";

export const schemes: Readonly<Record<SchemeName, Scheme>> = /* @__PURE__ */ Object.freeze({ f16, bf16, q8_0, q4_0 });

/** The scheme of that name out of `known`. @throws BackendError */
export function schemeNamed(
  where: string,
  name: SchemeName,
  known: Readonly<Record<SchemeName, Scheme>> = schemes,
): Scheme {
  if (Object.hasOwn(known, name)) return known[name];
  throw new BackendError(
    `${where}: scheme must be one of ${Object.keys(known).join(", ")}, got ${name}; decode it first, or pass a record that has it`,
  );
}
