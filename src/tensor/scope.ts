// Ownership of results: what is made inside `scope` dies at its end, except what the callback returns.

interface Owned {
  dispose(): void;
}
/** Nothing asynchronous: what takes such a callback is over before a promise goes on. */
export type NotAPromise<T> = T extends PromiseLike<unknown> ? never : T;

const scopes: Set<Owned>[] = [];

/** Gives a new handle to the innermost scope; outside all scopes it belongs to the caller. */
export function adopt(made: Owned): void {
  scopes.at(-1)?.add(made);
}

/** Forgets a handle that was disposed by hand, so that long scopes do not pile up dead ones. */
export function disown(made: Owned): void {
  for (const owned of scopes) owned.delete(made);
}

/** Takes a handle out of every scope; from now on the caller disposes it. */
export function keep<T extends Owned>(made: T): T {
  disown(made);
  return made;
}

/**
 * Runs `fn` and disposes every handle made inside, except those found in what it returns (a handle, or arrays, maps and plain objects of
 * them); these pass to the scope around this one. An exception disposes them all. Asynchronous callbacks are a type error: a scope is
 * over before they go on.
 */
export function scope<T>(fn: () => NotAPromise<T>): T {
  const owned = new Set<Owned>();
  scopes.push(owned);
  try {
    const result = fn() as T;
    scopes.pop();
    const outer = scopes.at(-1);
    for (const survivor of handlesIn(result)) {
      if (owned.delete(survivor)) outer?.add(survivor);
    }
    return result;
  } catch (error) {
    const at = scopes.lastIndexOf(owned);
    if (at >= 0) scopes.splice(at, 1);
    throw error;
  } finally {
    for (const made of owned) made.dispose();
  }
}

/** Everything disposable in a result: a handle, or arrays, sets, maps and plain objects of them. */
export function handlesIn(result: unknown): readonly Owned[] {
  const found: Owned[] = [];
  collect(result, found, new Set());
  return found;
}

function collect(value: unknown, found: Owned[], seen: Set<object>): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  seen.add(value);
  if (Symbol.dispose in value) found.push(value as unknown as Owned);
  else if (value instanceof Map || value instanceof Set || Array.isArray(value))
    for (const item of value) collect(item, found, seen);
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) collect(item, found, seen);
}
