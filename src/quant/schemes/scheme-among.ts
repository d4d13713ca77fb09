// The look-up of a scheme by name, apart from the built-in ones, so that who knows a few need not carry them all.
import { BackendError } from "../../core/errors.js";
import type { SchemeName } from "../../core/view.js";
import type { Scheme } from "./scheme.js";

/** The scheme of that name out of `known`. @throws BackendError */
export function schemeAmong(known: Readonly<Record<SchemeName, Scheme>>, where: string, name: SchemeName): Scheme {
  if (Object.hasOwn(known, name)) return known[name];
  throw new BackendError(
    `${where}: scheme must be one of ${Object.keys(known).join(", ")}, got ${name}; decode it first, or pass the scheme itself`,
  );
}
