// Serves the built page, isolated or not.
import { createServer } from "node:http";
import { existsSync } from "node:fs";
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

/** @param folders what `demo:build` made, and before it what takes the place of some of its files @param isolated whether the headers that threads need are sent */
export async function servePage(folders: readonly string[], isolated: boolean): Promise<PageServer> {
  const server = createServer(({ url = "/" }, response) => {
    const { pathname } = new URL(url, "http://localhost");
    const file = pathname === "/" ? "/index.html" : pathname;
    const path = folders.map((folder) => join(folder, file)).find(existsSync) ?? "";
    readFile(path).then(
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
