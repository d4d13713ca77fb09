// Every error that this library throws on purpose. Each class has a stable `code`, so callers can tell them apart without reading the text.
// Messages read `where: what must hold, got what; what to do`.

/** An operand's shape breaks the rule of its op, or a tensor's shape disagrees with the block that takes it. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  readonly code = "SHAPE";
}

/** An operand has the wrong element type, or is packed where plain numbers are needed. */
export class DTypeError extends Error {
  override readonly name = "DTypeError";
  readonly code = "DTYPE";
}

/** A call would write memory that it also reads, or write the same memory twice. */
export class AliasError extends Error {
  override readonly name = "AliasError";
  readonly code = "ALIAS";
}

/** A tensor, cache, recording or backend was used after `dispose()`. */
export class DisposedError extends Error {
  override readonly name = "DisposedError";
  readonly code = "DISPOSED";
}

/** A backend could not allocate. What was allocated before stays usable. */
export class OutOfMemoryError extends Error {
  override readonly name = "OutOfMemoryError";
  readonly code = "OUT_OF_MEMORY";
}

/** A backend's device is gone, and all that it held. Another backend can be opened. */
export class DeviceLostError extends Error {
  override readonly name = "DeviceLostError";
  readonly code = "DEVICE_LOST";
}

/** A backend broke its contract, two backends were mixed in one call, or none could be opened. */
export class BackendError extends Error {
  override readonly name = "BackendError";
  readonly code = "BACKEND";
}

/** An option, attribute or config.json field is missing, unknown, contradictory or out of range. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "CONFIG";
}

/** An id given from the host (token, target, position, batch row) is out of range. */
export class IndexError extends Error {
  override readonly name = "IndexError";
  readonly code = "INDEX";
}

/** A cache or a pool has no room for what was asked. */
export class CapacityError extends Error {
  override readonly name = "CapacityError";
  readonly code = "CAPACITY";
}

/** Bytes from outside (safetensors, JSON, text) are not what their format says. */
export class FormatError extends Error {
  override readonly name = "FormatError";
  readonly code = "FORMAT";
}

/** A checkpoint lacks a tensor, holds one that nothing takes, or holds one of another shape. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly code = "CHECKPOINT";
}

/** A gradient was asked for that does not exist: a missing path, a changed operand, a value that is no scalar. */
export class GradientError extends Error {
  override readonly name = "GradientError";
  readonly code = "GRADIENT";
}

/** The host read or wrote inside a region that is being recorded. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
  readonly code = "RECORDING";
}
