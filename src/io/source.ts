// Where bytes come from: memory, a Blob, a file, a URL. Readers ask for ranges, so a file of any size is read piece by piece.
import { FormatError } from "../core/errors.js";

/** Bytes that can be read in ranges. A source holds nothing open between reads, so there is nothing to close. */
export interface Source {
  /** For messages: a path, an address, or what the caller calls it. */
  readonly name: string;
  readonly byteLength: number;
  /** The bytes from `begin` up to, not including, `end`. The caller does not write into them. */
  read(begin: number, end: number): Promise<Uint8Array>;
}

/** What can stand for a source. */
export type SourceLike = Source | Uint8Array | Blob;

export function bytesSource(bytes: Uint8Array, name = "bytes"): Source {
  // A Node Buffer has a `slice` of its own that does not copy; a plain view behaves alike everywhere.
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    name,
    byteLength: view.byteLength,
    read: async (begin, end) => view.subarray(begin, end),
  };
}

/** A Blob, or a File that a page was given. */
export function blobSource(blob: Blob, name: string = "name" in blob ? String(blob.name) : "blob"): Source {
  return {
    name,
    byteLength: blob.size,
    read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
  };
}

export function isSource(value: unknown): value is Source {
  return typeof value === "object" && value !== null && typeof (value as Partial<Source>).read === "function";
}

/** A source out of anything that can stand for one. `name` replaces the name that bytes do not have. */
export function asSource(given: SourceLike, name?: string): Source {
  if (given instanceof Uint8Array) return bytesSource(given, name);
  return isSource(given) ? given : blobSource(given, name);
}

/** Reads a range and makes sure that all of it came. @throws FormatError if the source is too short. */
export async function readExactly(source: Source, begin: number, end: number): Promise<Uint8Array> {
  if (!(begin >= 0 && begin <= end && end <= source.byteLength)) {
    throw new FormatError(
      `${source.name}: bytes ${begin} to ${end} must lie within the file, got one of ${source.byteLength} bytes`,
    );
  }
  const bytes = await source.read(begin, end);
  if (bytes.byteLength === end - begin) return bytes;
  throw new FormatError(
    `${source.name}: reading bytes ${begin} to ${end} must give ${end - begin} bytes, got ${bytes.byteLength}`,
  );
}
