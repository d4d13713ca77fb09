// Files of Node, Deno and Bun. The only place that touches them; the modules are asked for at the moment of use, in a way that bundlers for
// browsers do not follow, so importing this file costs a page nothing.
import { BackendError, FormatError } from "../core/errors.js";
import type { Source } from "./source.js";

/** The parts of node:fs/promises that are used here; the types of Node are no part of this library's declarations. */
interface FileHandle {
  stat(): Promise<FileStats>;
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write(buffer: Uint8Array, offset: number, length: number): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}
interface FileStats {
  readonly size: number;
  readonly ino: number;
  readonly mtimeMs: number;
  isDirectory(): boolean;
}
interface FileSystem {
  open(path: string, flags: string): Promise<FileHandle>;
  stat(path: string): Promise<FileStats>;
  rename(from: string, to: string): Promise<void>;
  rm(path: string, options: { readonly force: boolean }): Promise<void>;
  mkdir(path: string, options: { readonly recursive: boolean }): Promise<unknown>;
}
interface Paths {
  dirname(path: string): string;
  join(...parts: string[]): string;
}
interface Builtins {
  readonly "node:fs/promises": FileSystem;
  readonly "node:path": Paths;
}
interface NodeProcess {
  readonly pid: number;
  getBuiltinModule<K extends keyof Builtins>(name: K): Builtins[K];
}

function node(): NodeProcess {
  const { process } = globalThis as { readonly process?: Partial<NodeProcess> };
  if (typeof process?.getBuiltinModule === "function") return process as NodeProcess;
  throw new BackendError(
    "io: paths need Node 20.16 or newer (or Deno, Bun); where there are no files, give bytes, Blobs or URLs",
  );
}

function fileSystem(): FileSystem {
  return node().getBuiltinModule("node:fs/promises");
}

/** `folder/file` as this system writes it. */
export function joinPath(folder: string, file: string): string {
  return node().getBuiltinModule("node:path").join(folder, file);
}

/** Makes a folder and those around it. */
export async function makeFolder(path: string): Promise<void> {
  await fileSystem().mkdir(path, { recursive: true });
}

/** What is at `path`; undefined if nothing is. */
export async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  const stats = await orNothing(fileSystem().stat(path));
  return stats && (stats.isDirectory() ? "folder" : "file");
}

/** The file at `path`, read in ranges. Rejects with Node's own error if there is none. */
export async function fileSource(path: string): Promise<Source> {
  const { size, ino, mtimeMs } = await fileSystem().stat(path);
  return {
    name: path,
    byteLength: size,
    // Opened for each read: beside the read itself that costs nothing, and no handle can be left open.
    read: async (begin, end) => {
      const handle = await fileSystem().open(path, "r");
      try {
        const now = await handle.stat();
        if (now.size !== size || now.ino !== ino || now.mtimeMs !== mtimeMs) {
          throw new FormatError(`${path}: must not change while it is read, got another file; open it again`);
        }
        return await readRange(handle, begin, end);
      } finally {
        await handle.close();
      }
    },
  };
}

/** The file at `path`, or undefined if there is none. */
export async function findFile(path: string): Promise<Source | undefined> {
  return orNothing(fileSource(path));
}

async function orNothing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}

async function readRange(handle: FileHandle, begin: number, end: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - begin);
  let at = 0;
  while (at < bytes.byteLength) {
    const length = Math.min(bytes.byteLength - at, MAX_TRANSFER_BYTES);
    const { bytesRead } = await handle.read(bytes, at, length, begin + at);
    if (bytesRead === 0) return bytes.subarray(0, at);
    at += bytesRead;
  }
  return bytes;
}

/** One system call moves less than 2 GiB. */
const MAX_TRANSFER_BYTES = 2 ** 30;

/** What to write: all at once, or piece after piece. */
export type FileContent = Uint8Array | AsyncIterable<Uint8Array>;

/**
 * Writes a file so that at any moment, also after a crash, `path` holds the old content or the new one, whole: the bytes go to a temporary
 * file in the same folder, reach the disk, and then take over the name. On failure the temporary file is removed.
 */
export async function writeFileAtomic(path: string, content: FileContent): Promise<void> {
  await writeFilesAtomic([[path, content]]);
}

/** Writes several files as {@link writeFileAtomic} does; none takes its name before all are on the disk. */
export async function writeFilesAtomic(
  files: readonly (readonly [path: string, content: FileContent])[],
): Promise<void> {
  const fs = fileSystem();
  const staged: { readonly path: string; readonly temporary: string }[] = [];
  try {
    for (const [path, content] of files) {
      const temporary = `${path}.${node().pid}-${Math.random().toString(36).slice(2, 10)}.tmp`;
      const handle = await fs.open(temporary, "wx");
      staged.push({ path, temporary });
      await writeTo(handle, content);
    }
    for (const { path, temporary } of staged) await fs.rename(temporary, path);
  } catch (error) {
    // Also those that have their new name already; removing what is not there is no error.
    for (const { temporary } of staged) await fs.rm(temporary, { force: true });
    throw error;
  }
  for (const folder of new Set(files.map(([path]) => node().getBuiltinModule("node:path").dirname(path)))) {
    await syncFolder(folder);
  }
}

async function writeTo(handle: FileHandle, content: FileContent): Promise<void> {
  try {
    if (content instanceof Uint8Array) await writeAll(handle, content);
    else for await (const piece of content) await writeAll(handle, piece);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesWritten } = await handle.write(bytes, at, Math.min(bytes.byteLength - at, MAX_TRANSFER_BYTES));
    at += bytesWritten;
  }
}

/** Makes a rename last through a power failure. Some systems cannot do this to a folder; the rename itself has happened by then. */
async function syncFolder(path: string): Promise<void> {
  try {
    const handle = await fileSystem().open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch {
    return;
  }
}
