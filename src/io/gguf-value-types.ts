// The types of values in a GGUF header: their ids, and how numbers of each lie in bytes. Reader and writer share this table.

/** Numbers of one width. 64-bit integers are safe integers in a Float64Array. */
export type MetadataNumbers =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>;

/** A number's type by its width, as in Rust. */
export type NumberName = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "u64" | "i64" | "f64";
type ValueName = NumberName | "bool" | "string" | "array";
/** What a value is stored as; `u32[]` is a list. */
export type MetadataType = ValueName | `${ValueName}[]`;

export const BOOL = 7;
export const STRING = 8;
export const ARRAY = 9;

export interface NumberType {
  readonly name: NumberName;
  readonly bytes: number;
  read(view: DataView, at: number): number | bigint;
  make(count: number): MetadataNumbers;
}

const f64s = (count: number): Float64Array<ArrayBuffer> => new Float64Array(count);

/** By the format's ids. */
export const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { name: "u8", bytes: 1, read: (view, at) => view.getUint8(at), make: (count) => new Uint8Array(count) },
  1: { name: "i8", bytes: 1, read: (view, at) => view.getInt8(at), make: (count) => new Int8Array(count) },
  2: { name: "u16", bytes: 2, read: (view, at) => view.getUint16(at, true), make: (count) => new Uint16Array(count) },
  3: { name: "i16", bytes: 2, read: (view, at) => view.getInt16(at, true), make: (count) => new Int16Array(count) },
  4: { name: "u32", bytes: 4, read: (view, at) => view.getUint32(at, true), make: (count) => new Uint32Array(count) },
  5: { name: "i32", bytes: 4, read: (view, at) => view.getInt32(at, true), make: (count) => new Int32Array(count) },
  6: { name: "f32", bytes: 4, read: (view, at) => view.getFloat32(at, true), make: (count) => new Float32Array(count) },
  10: { name: "u64", bytes: 8, read: (view, at) => view.getBigUint64(at, true), make: f64s },
  11: { name: "i64", bytes: 8, read: (view, at) => view.getBigInt64(at, true), make: f64s },
  12: { name: "f64", bytes: 8, read: (view, at) => view.getFloat64(at, true), make: f64s },
};

const otherNames: Readonly<Record<number, "bool" | "string" | "array">> = {
  [BOOL]: "bool",
  [STRING]: "string",
  [ARRAY]: "array",
};

export function typeName(id: number): ValueName {
  return otherNames[id] ?? numberTypes[id].name;
}

const ids: ReadonlyMap<string, number> = /* @__PURE__ */ new Map(
  Array.from({ length: 13 }, (_, id) => [typeName(id), id]),
);

/** The id of a type by its name; undefined if there is none. */
export function typeId(name: string): number | undefined {
  return ids.get(name);
}
