// Serves the built page, isolated or not, and counts what it is asked for.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { isolation } from "../../examples/browser/isolation.js";

const types: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
};

export interface PageServer {
  readonly address: string;
  close(): Promise<void>;
}

/** @param folder what `demo:build` made @param isolated whether the headers that threads need are sent */
export async function servePage(folder: string, isolated: boolean): Promise<PageServer> {
  const server = createServer(({ url = "/" }, response) => {
    const path = new URL(url, "http://localhost").pathname;
    const file = path === "/" ? "/index.html" : path;
    readFile(join(folder, file)).then(
      (body) => {
        const type = types[extname(file)] ?? "application/octet-stream";
        response.writeHead(200, { "Content-Type": type, ...(isolated ? isolation : {}) }).end(body);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((done) => server.listen(0, "localhost", done));
  const { port } = server.address() as AddressInfo;
  return {
    address: `http://localhost:${port}/`,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
