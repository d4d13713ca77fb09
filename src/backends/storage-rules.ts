// What memories ask of storages and lengths, and what they say to the others, in one wording for all backends.
import { BackendError, DisposedError } from "../core/errors.js";
import type { Storage } from "../core/view.js";

/** @throws BackendError unless a storage can have so many bytes */
export function expectLength(byteLength: number): void {
  if (Number.isSafeInteger(byteLength) && byteLength >= 0) return;
  throw new BackendError(`alloc: the length must be a non-negative integer, got ${byteLength}`);
}

/** @throws BackendError unless the bytes lie within the storage */
export function expectRange(where: string, storage: Storage, offset: number, byteLength: number): void {
  if (offset >= 0 && byteLength >= 0 && offset + byteLength <= storage.byteLength) return;
  throw new BackendError(
    `${where}: bytes must lie within the storage of ${storage.byteLength}, got ${offset} to ${offset + byteLength}`,
  );
}

/** For a storage of another backend, be it of the same kind. */
export function foreignStorage(where: string, backend: string): BackendError {
  return new BackendError(
    `${where}: storage must belong to this ${backend} backend, got a foreign one; copy the numbers over with data() first`,
  );
}

export function freedStorage(byteLength: number): BackendError {
  return new BackendError(
    `storage: must be alive, got one of ${byteLength} bytes that was freed; free it after its last use`,
  );
}

/** @param backend its name, which its opening function has too */
export function closedBackend(where: string, backend: string): DisposedError {
  return new DisposedError(
    `${where}: the ${backend} backend must be open, got a closed one; open another with ${backend}()`,
  );
}
