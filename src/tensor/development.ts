// Help while developing: where a tensor was disposed, and a warning when one was forgotten. Off unless asked for; numbers never change.

let on = false;
const forgotten = new FinalizationRegistry<string>((what) =>
  console.warn(`qwen-blocks: ${what} was collected without dispose()`),
);

/** Turns the help on or off for handles made from now on. Costs a stack trace per handle and per dispose. */
export function setDevelopment(enabled: boolean): void {
  on = enabled;
}

/** Watches a new handle; returns a token for {@link forget}. */
export function remember(handle: { toString(): string }): void {
  if (on) forgotten.register(handle, `${handle.toString()} made${callSite()}`, handle);
}

/** Called by dispose: the handle was not forgotten. Says where it was disposed, for later messages. */
export function forget(handle: object): string {
  if (!on) return "";
  forgotten.unregister(handle);
  return callSite();
}

function callSite(): string {
  const lines = (new Error().stack ?? "").split("\n").slice(3, 7);
  return ` at\n${lines.join("\n")}`;
}
