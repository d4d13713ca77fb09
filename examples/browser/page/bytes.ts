// The model's tokens are bytes, and a few specials above them.

/** Ids of a text's UTF-8 bytes. */
export function encode(text: string): number[] {
  return Array.from(new TextEncoder().encode(text));
}

/** What to show for each token as they come: a character stands at its last byte. */
export class Spelling {
  readonly #decoder = new TextDecoder();

  next(id: number): string {
    return id > 255 ? "" : this.#decoder.decode(Uint8Array.of(id), { stream: true });
  }
}

/** A token on the page: what cannot be seen gets a sign. */
export function signOf(id: number, spelled: string): string {
  if (id > 255) return "§";
  if (id === 10) return "↵\n";
  return /[\p{Cc}\p{Cn}\p{Co}]/u.test(spelled) ? "·" : spelled;
}

const names: Readonly<Record<number, string>> = { 9: "tab", 10: "new line", 32: "space" };

/** What to call a token. */
export function nameOf(id: number, spelled: string): string {
  if (id > 255) return "start of a document";
  return names[id] ?? (/^[\s\p{Cc}]*$/u.test(spelled) ? `byte ${id}` : spelled);
}
