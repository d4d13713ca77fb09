// A program: what gpu.js compiles for the GPU, as text, since it reads the source and minifiers rewrite functions.

export interface Program {
  readonly name: string;
  /** Its operands. Each comes as all numbers of a storage, and under the same name with `At` the place where the window begins. */
  readonly reads: readonly string[];
  /** The numbers that follow the operands, whole ones apart: arithmetic on indices must not pass through floats. */
  readonly numbers: Readonly<Record<string, "Integer" | "Float">>;
  /** JavaScript of the kind that gpu.js understands; returns the value of this.thread. */
  readonly body: string;
}

export function sourceOf({ reads, numbers, body }: Program): string {
  const names = [...reads.flatMap((name) => [name, `${name}At`]), ...Object.keys(numbers)];
  return `function (${names.join(", ")}) {\n${body}\n}`;
}

/** @param array how operands come: as textures or as typed arrays */
export function argumentTypesOf({ reads, numbers }: Program, array: string): string[] {
  return [...reads.flatMap(() => [array, "Integer"]), ...Object.values(numbers)];
}

/** Programs by what tells them apart, each made when it is first asked for. */
export function variants<Key extends string>(make: (key: Key) => Program): (key: Key) => Program {
  const made = new Map<Key, Program>();
  return (key) => {
    const known = made.get(key) ?? make(key);
    made.set(key, known);
    return known;
  };
}
