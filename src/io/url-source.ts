// Files behind an address, read by HTTP range requests, so that a large checkpoint is never downloaded into one buffer.
import { CheckpointError, FormatError } from "../core/errors.js";
import { bytesSource, type Source } from "./source.js";

export interface UrlSourceOptions {
  /** Sent with every request, for example an authorization. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Replaces the global `fetch`. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/**
 * The file at `url`. A server that ignores range requests sends the whole file, which then stays in memory.
 *
 * @throws CheckpointError if the server refuses; FormatError if it does not tell the length or a range comes back short.
 */
export async function urlSource(url: string | URL, options: UrlSourceOptions = {}): Promise<Source> {
  const source = await findUrl(url, options);
  if (source !== undefined) return source;
  throw new CheckpointError(`${String(url)}: must exist, got HTTP status 404`);
}

/** The file at `url`, or undefined if there is none. */
export async function findUrl(url: string | URL, options: UrlSourceOptions = {}): Promise<Source | undefined> {
  const name = String(url);
  const response = await request(name, "bytes=0-0", options);
  if (response.status === 404) return undefined;
  if (response.status === 200) return bytesSource(new Uint8Array(await response.arrayBuffer()), name);
  expectPart(name, response);
  await response.arrayBuffer();
  const tag = response.headers.get("etag");
  return {
    name,
    byteLength: await lengthOf(name, response, options),
    read: async (begin, end) => {
      if (begin === end) return new Uint8Array(0);
      const part = await request(name, `bytes=${begin}-${end - 1}`, options);
      expectPart(name, part);
      if (part.headers.get("etag") !== tag) {
        throw new FormatError(`${name}: must not change while it is read, got another etag; open it again`);
      }
      return new Uint8Array(await part.arrayBuffer());
    },
  };
}

/** From the answer to a range request; where a page may not see that header, from a HEAD request. */
async function lengthOf(name: string, response: Response, options: UrlSourceOptions): Promise<number> {
  const [, total] = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  const found = total ?? (await contentLength(name, options));
  const length = Number(found ?? NaN);
  if (Number.isSafeInteger(length) && length >= 0) return length;
  throw new FormatError(
    `${name}: the server must tell the file's length, got ${found ?? "none"}; let it expose Content-Range to the page`,
  );
}

async function contentLength(name: string, options: UrlSourceOptions): Promise<string | null> {
  const { status, headers } = await request(name, undefined, options);
  return status === 200 ? headers.get("content-length") : null;
}

function request(url: string, range: string | undefined, options: UrlSourceOptions): Promise<Response> {
  const { headers, fetch: send = globalThis.fetch } = options;
  return send(url, range === undefined ? { method: "HEAD", headers } : { headers: { ...headers, range } });
}

function expectPart(name: string, response: Response): void {
  if (response.status === 206) return;
  throw new CheckpointError(`${name}: a range request must get HTTP status 206, got ${response.status}`);
}
