// The tokens that a cache holds of one batch row, and at which places of the row's table they are listed. Without a window all are, in order;
// with one only those that the next tokens may see are, and a token that comes takes the place of one that has left.
import { IndexError } from "../../core/errors.js";
import { segmentOf, VisibleRows } from "../positions.js";
import { everything, reachOf, type NextToken, type Sight } from "./sight.js";
import type { Slots } from "./slots.js";

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
  /** The text's segment, as long as it has but one and positions ascend: then what a window shows is the end of the text. */
  #segment: number | undefined;
  /** In such a text, from which token on all are listed, and of those before only sinks and global ones. */
  #first: number | undefined = 0;

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
    row.#first = undefined;
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

  /** How many of the tokens would be sinks or global. */
  pinnedAmong(next: readonly NextToken[]): number {
    return next.filter((token) => this.#isPinned(token)).length;
  }

  get lastSlot(): number | undefined {
    return this.#tokens.at(-1)?.slot;
  }

  /** The places that have changed since the last {@link takeChanged}. */
  get changed(): readonly number[] {
    return this.#changed;
  }

  /** The same, which then count as written. */
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
    if (this.#sight.window === 0 || next.length === 0) return;
    const reach = reachOf(next, this.#sight);
    const from = this.#segment !== undefined && reach.size === 1 ? reach.get(this.#segment) : undefined;
    if (from !== undefined && this.#first !== undefined) this.#roll(from, this.#first);
    else {
      this.#select(reach);
      const first = this.#tokens.findIndex(({ position }) => position >= (from ?? everything));
      this.#first = from === undefined ? undefined : first < 0 ? this.#tokens.length : first;
    }
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
    this.#first &&= Math.min(this.#first, this.#tokens.length);
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
    if (this.#tokens.length === 0) [this.#segment, this.#first] = [segmentOf(segment), 0];
    else if (segmentOf(segment) !== this.#segment || position < held.peak) this.#segment = undefined;
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

  /** Lists the end of the text, from this position on; the work is that of the tokens that leave or come back. */
  #roll(from: number, first: number): void {
    const tokens = this.#tokens;
    while (first > 0 && tokens[first - 1].position >= from) if (tokens[--first].place < 0) this.#list(tokens[first]);
    const start = first;
    for (; first < tokens.length && tokens[first].position < from; first++)
      if (!this.#isPinned(tokens[first])) this.#unlist(tokens[first]);
    this.#first = first;
    if (!this.#sight.forgets || first === start) return;
    const passed = tokens.slice(start, first);
    const kept = passed.filter(({ place }) => place >= 0);
    tokens.splice(start, passed.length, ...kept);
    this.#first = start + kept.length;
    for (const token of passed) if (token.place < 0) this.#forget(token, token.position);
  }

  /** The same of any text. */
  #select(reach: ReadonlyMap<number, number>): void {
    const visible = (token: HeldToken): boolean => {
      const from = reach.get(segmentOf(token.segment));
      return from !== undefined && (token.position >= from || this.#isPinned(token));
    };
    for (const token of this.#listed) if (token && !visible(token)) this.#unlist(token);
    if (!this.#sight.forgets) {
      this.#listAgain(visible, Math.min(...reach.values()));
      return;
    }
    const lost = this.#tokens.filter(({ place }) => place < 0);
    this.#tokens = this.#tokens.filter(({ place }) => place >= 0);
    this.#pinned = this.#pinned.filter(({ place }) => place >= 0);
    for (const token of lost) this.#forget(token, reach.has(segmentOf(token.segment)) ? token.position : Infinity);
  }

  /** What is not listed is never seen again. */
  #forget({ segment, slot }: HeldToken, upTo: number): void {
    this.#slots.release(slot);
    const of = segmentOf(segment);
    this.#forgotten.set(of, Math.max(upTo, this.#forgotten.get(of) ?? upTo));
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

function rangesOf(tokens: readonly NextToken[]): VisibleRows {
  const ranges = new VisibleRows();
  for (const { position, segment } of tokens) ranges.append(position, segment);
  return ranges;
}
