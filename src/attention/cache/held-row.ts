// The tokens that a cache holds of one batch row, and at which places of the row's table they are listed. Without a window all are, in order;
// with one only those that the next tokens may see are, and a token that comes takes the place of one that has left.
import { IndexError } from "../../core/errors.js";
import { segmentOf, VisibleRows } from "../positions.js";
import type { Slots } from "./slots.js";

export interface Sight {
  /** How many tokens a query sees, its own included; 0 means all. */
  readonly window: number;
  /** The first positions of the text, which stay visible. */
  readonly sinks: number;
  /** Whether a token that leaves the window for good gives its slot back. */
  readonly forgets: boolean;
}

/** A token that comes. */
export interface NextToken {
  readonly position: number;
  /** `~segment` for a global token. */
  readonly segment: number;
}

export interface HeldToken extends NextToken {
  /** In the text. */
  readonly index: number;
  readonly slot: number;
  /** The greatest position up to here. */
  readonly peak: number;
  /** In the table; -1 if it is not listed. */
  place: number;
}

/** What a row is saved as. */
export interface HeldText {
  /** Of the text, with what was forgotten. */
  readonly length: number;
  /** The shortest text that what is held suffices to go on from, where tokens were forgotten. */
  readonly leastLength: number;
  /** By segment, the greatest position that was forgotten; infinite where the text has left the segment. */
  readonly forgotten: ReadonlyMap<number, number>;
  readonly tokens: readonly Pick<HeldToken, "index" | "position" | "segment" | "slot">[];
}

const everything = -Infinity;

export class HeldRow implements HeldText {
  readonly #slots: Slots;
  readonly #sight: Sight;
  #tokens: HeldToken[] = [];
  #length = 0;
  #listed: (HeldToken | undefined)[] = [];
  #vacant: number[] = [];
  /** Places whose token is another since the table was written. */
  #changed: number[] = [];
  /** Sinks and global tokens of the text. */
  #pinned: HeldToken[] = [];
  #ranges: VisibleRows | undefined = new VisibleRows();
  #leastLength = 0;
  #forgotten = new Map<number, number>();

  constructor(slots: Slots, sight: Sight) {
    this.#slots = slots;
    this.#sight = sight;
  }

  /** A row that holds the text in these slots. */
  static of(slots: Slots, sight: Sight, { tokens, length, leastLength, forgotten }: HeldText): HeldRow {
    const row = new HeldRow(slots, sight);
    // With a window, tokens that are kept come back when they are wanted.
    const listed = sight.window === 0 || sight.forgets;
    for (const token of tokens) row.#add(token, listed);
    row.#length = length;
    row.#leastLength = leastLength;
    row.#forgotten = new Map(forgotten);
    return row;
  }

  get tokens(): readonly HeldToken[] {
    return this.#tokens;
  }

  get length(): number {
    return this.#length;
  }

  get leastLength(): number {
    return this.#leastLength;
  }

  get forgotten(): ReadonlyMap<number, number> {
    return this.#forgotten;
  }

  /** By place. */
  get listed(): readonly (HeldToken | undefined)[] {
    return this.#listed;
  }

  get listedCount(): number {
    return this.#listed.length - this.#vacant.length;
  }

  get pinnedCount(): number {
    return this.#pinned.length;
  }

  get lastSlot(): number | undefined {
    return this.#tokens.at(-1)?.slot;
  }

  /** The places that have changed since the last call. */
  takeChanged(): readonly number[] {
    return this.#changed.splice(0);
  }

  /** @throws IndexError if one of the tokens would see what was forgotten */
  expectNext(row: number, next: readonly NextToken[]): void {
    for (const { position, segment } of next) {
      const lost = this.#forgotten.get(segmentOf(segment));
      if (lost === undefined || position >= lost + this.#sight.window) continue;
      throw new IndexError(
        `cache: a token of row ${row} must not see what a ring has given up, got position ${position} of segment ${segmentOf(segment)}; keep positions ascending and leave a segment for good, or use a DenseCache`,
      );
    }
  }

  /** Lists what the next tokens may see, and nothing else. */
  listFor(next: readonly NextToken[]): void {
    const { window, sinks, forgets } = this.#sight;
    if (window === 0 || next.length === 0) return;
    const reach = reachOf(next, this.#sight);
    const visible = ({ position, segment }: HeldToken): boolean => {
      const from = reach.get(segmentOf(segment));
      return from !== undefined && (position >= from || segment < 0 || position < sinks);
    };
    for (const token of this.#listed) if (token && !visible(token)) this.#unlist(token);
    if (forgets) this.#forget(reach);
    else this.#listAgain(visible, Math.min(...reach.values()));
  }

  append({ position, segment }: NextToken): void {
    const slot = this.#slots.take(this.#tokens.at(-1)?.slot);
    this.#add({ index: this.#length++, position, segment, slot }, true);
  }

  /** Of the i-th last token: the places that it may see, where attention is causal. */
  rangeOf(i: number): readonly [first: number, end: number] {
    if (this.#sight.window > 0) return [0, this.#listed.length];
    const { position, segment, place } = this.#tokens[this.#tokens.length - 1 - i];
    this.#ranges ??= rangesOf(this.#tokens);
    return this.#ranges.rangeOf(place, position, segment, true);
  }

  /** @throws IndexError unless the text has at least `length` tokens and what is left of them suffices to go on */
  expectLength(what: string, row: number, length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length)
      throw new IndexError(`${what}: row ${row} must keep 0 to its ${this.#length} tokens, got ${length}`);
    if (length >= this.#leastLength || this.#holdsFirst(length)) return;
    throw new IndexError(
      `${what}: row ${row} must keep at least ${this.#leastLength} tokens, got ${length}; what the next token would see was given up: truncate to 0 and read the text again, or use a DenseCache`,
    );
  }

  /** Drops the tokens after the first `length`; {@link expectLength} has passed. */
  truncate(length: number): void {
    if (length === this.#length) return;
    const all = this.#holdsFirst(length);
    while ((this.#tokens.at(-1)?.index ?? -1) >= length) {
      const token = this.#tokens.pop() as HeldToken;
      this.#slots.release(token.slot);
      if (token.place >= 0) this.#unlist(token);
      if (this.#pinned.at(-1) === token) this.#pinned.pop();
    }
    this.#length = length;
    this.#ranges = undefined;
    if (!all) return;
    this.#leastLength = 0;
    this.#forgotten.clear();
  }

  /** Another row that begins with the same tokens, in the same slots. */
  fork(length: number = this.#length): HeldRow {
    const other = HeldRow.of(this.#slots, this.#sight, this);
    other.truncate(length);
    return other;
  }

  /** Gives all slots back; the row is not used again. */
  release(): void {
    for (const { slot } of this.#tokens) this.#slots.release(slot);
  }

  #add(token: HeldText["tokens"][number], listed: boolean): void {
    const { position, segment, slot } = token;
    const held = { ...token, peak: Math.max(position, this.#tokens.at(-1)?.peak ?? position), place: -1 };
    this.#slots.hold(slot);
    this.#tokens.push(held);
    if (this.#isPinned(held)) this.#pinned.push(held);
    if (listed) this.#list(held);
    this.#ranges?.append(position, segment);
  }

  #isPinned({ position, segment }: NextToken): boolean {
    return segment < 0 || position < this.#sight.sinks;
  }

  #holdsFirst(length: number): boolean {
    return length === 0 || this.#tokens[length - 1]?.index === length - 1;
  }

  #list(token: HeldToken): void {
    token.place = this.#vacant.shift() ?? this.#listed.length;
    this.#listed[token.place] = token;
    this.#changed.push(token.place);
  }

  #unlist(token: HeldToken): void {
    this.#changed.push(token.place);
    // The last places fall away, so that without a window a token's place is its index.
    if (token.place === this.#listed.length - 1) this.#listed.pop();
    else {
      this.#listed[token.place] = undefined;
      this.#vacant.push(token.place);
    }
    token.place = -1;
  }

  /** What is not listed is never seen again. */
  #forget(reach: ReadonlyMap<number, number>): void {
    const kept = this.#tokens.filter(({ place }) => place >= 0);
    if (kept.length === this.#tokens.length) return;
    for (const { position, segment, place, slot } of this.#tokens) {
      if (place >= 0) continue;
      this.#slots.release(slot);
      const of = segmentOf(segment);
      const lost = reach.has(of) ? position : Infinity;
      this.#forgotten.set(of, Math.max(lost, this.#forgotten.get(of) ?? lost));
    }
    this.#tokens = kept;
    this.#pinned = this.#pinned.filter(({ place }) => place >= 0);
    this.#leastLength = this.#length;
  }

  /** After a truncation, or for another segment or a global query, tokens come back that are held but not listed. */
  #listAgain(visible: (token: HeldToken) => boolean, lowest: number): void {
    const found = new Set<HeldToken>();
    for (let i = this.#tokens.length - 1; i >= 0 && this.#tokens[i].peak >= lowest; i--) found.add(this.#tokens[i]);
    for (const token of this.#pinned) found.add(token);
    const missing = [...found].filter((token) => token.place < 0 && visible(token));
    for (const token of missing.sort((a, b) => a.index - b.index)) this.#list(token);
  }
}

/**
 * By segment, the first position that one of the tokens sees besides sinks and global ones. A global token sees all before it, except where
 * tokens are forgotten: there it sees what any token sees, lest it depend on how the text was cut.
 */
function reachOf(next: readonly NextToken[], { window, forgets }: Sight): ReadonlyMap<number, number> {
  const reach = new Map<number, number>();
  for (const { position, segment } of next) {
    const from = segment < 0 && !forgets ? everything : position - window + 1;
    const of = segmentOf(segment);
    reach.set(of, Math.min(from, reach.get(of) ?? from));
  }
  return reach;
}

function rangesOf(tokens: readonly NextToken[]): VisibleRows {
  const ranges = new VisibleRows();
  for (const { position, segment } of tokens) ranges.append(position, segment);
  return ranges;
}
