// A shader as kernels write it: named windows, named numbers, and a body `fn run(group: u32, lane: u32)`. The rest of the text is made here.
import type { DType } from "../../core/dtype.js";

/**
 * For a window `x` the body may use `x_at(i)`, element i of the view, and `x_vec(i)`, elements i to i + 3 for i a multiple of 4; where x is
 * written, also `x_set(i, value)` and `x_set_vec(i, values)`. The element type is the shader's choice: bits are moved as u32. Numbers are
 * `params.name`. Each workgroup of `lanes` invocations runs once for each group below the number that `dispatch` is given.
 */
export interface Shader {
  readonly name: string;
  readonly reads: Readonly<Record<string, DType>>;
  readonly writes: Readonly<Record<string, DType>>;
  readonly params?: Readonly<Record<string, DType>>;
  readonly lanes: number;
  readonly code: string;
}

/** How one window is bound: in a piece or in two, and as vectors where its first element lies at a multiple of 4. */
export interface Binding {
  readonly paged: boolean;
  readonly vectors: boolean;
}

/** One shader per variant, made when it is first asked for. */
export function variants<V extends string | number>(make: (variant: V) => Shader): (variant: V) => Shader {
  const made = new Map<V, Shader>();
  return (variant) => {
    let shader = made.get(variant);
    if (shader === undefined) made.set(variant, (shader = make(variant)));
    return shader;
  };
}

const calls = (code: string, name: string): boolean => new RegExp(`\\b${name}\\(`).test(code);

/** What every dispatch asks of a shader. */
export interface Signature {
  /** Windows, those that are read first. */
  readonly names: readonly string[];
  readonly firstWritten: number;
  /** Whether the body reads or writes each window by vectors. */
  readonly vectors: readonly boolean[];
  /** Of the shader's own parameters. */
  readonly types: readonly DType[];
}

const signatures = /* @__PURE__ */ new WeakMap<Shader, Signature>();

/** Found out once per shader: it searches the whole text. */
export function signatureOf(shader: Shader): Signature {
  let known = signatures.get(shader);
  if (known === undefined) {
    const { reads, writes, params = {}, code } = shader;
    const names = [...Object.keys(reads), ...Object.keys(writes)];
    const vectors = names.map((name) => calls(code, `${name}_vec`) || calls(code, `${name}_set_vec`));
    known = { names, firstWritten: Object.keys(reads).length, vectors, types: Object.values(params) };
    signatures.set(shader, known);
  }
  return known;
}

/** The words of a dispatch's parameters: groups, then an offset per window, then the shader's own. */
export function paramNames({ reads, writes, params = {} }: Shader): readonly string[] {
  const offsets = [...Object.keys(reads), ...Object.keys(writes)].map((name) => `${name}_offset`);
  return ["groups", ...offsets, ...Object.keys(params)];
}

/** The whole text. @param page elements that the first piece of a window in two has */
export function sourceOf(shader: Shader, bindings: readonly Binding[], page: number): string {
  const { reads, writes, params = {}, lanes, code } = shader;
  const windows = [
    ...Object.entries(reads).map(([name, type]) => ({ name, type, access: "read" })),
    ...Object.entries(writes).map(([name, type]) => ({ name, type, access: "read_write" })),
  ];
  const subgroups = /\bsubgroup[A-Z]/.test(code);
  const types = ["u32", ...windows.map(() => "u32"), ...Object.values(params)];
  const fields = paramNames(shader).map((name, i) => `  ${name}: ${types[i]},`);
  let place = 0;
  const declared = windows.flatMap(({ name, type, access }, i) => {
    const { paged, vectors } = bindings[i];
    const held = vectors ? `vec4<${type}>` : type;
    return [name, ...(paged ? [`${name}_next`] : [])].map(
      (piece) => `@group(1) @binding(${place++}) var<storage, ${access}> ${piece}: array<${held}>;`,
    );
  });
  const used = (name: string): boolean => calls(code, name);
  const accessors = windows.flatMap(({ name, type }, i) => accessorsOf(name, type, bindings[i], page, used));
  const extra = subgroups
    ? ", @builtin(subgroup_size) subgroup_width: u32, @builtin(subgroup_invocation_id) subgroup_place: u32"
    : "";
  return [
    ...(subgroups ? ["enable subgroups;", "diagnostic(off, subgroup_uniformity);"] : []),
    ...(code.includes("dot4I8Packed") ? ["requires packed_4x8_integer_dot_product;"] : []),
    `const LANES = ${lanes}u;`,
    "struct Params {",
    ...fields,
    "}",
    "@group(0) @binding(0) var<uniform> params: Params;",
    ...declared,
    ...(subgroups ? ["var<private> subgroup_lanes: u32;", "var<private> subgroup_lane: u32;"] : []),
    ...accessors,
    code.trim(),
    `@compute @workgroup_size(${lanes})`,
    "fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, " +
      `@builtin(local_invocation_index) lane: u32${extra}) {`,
    "  let group = (id.z * count.y + id.y) * count.x + id.x;",
    ...(subgroups ? ["  subgroup_lanes = subgroup_width;", "  subgroup_lane = subgroup_place;"] : []),
    "  if (group < params.groups) { run(group, lane); }",
    "}",
    "",
  ].join("\n");
}

function accessorsOf(
  name: string,
  type: DType,
  { paged, vectors }: Binding,
  page: number,
  used: (name: string) => boolean,
): string[] {
  const of4 = `vec4<${type}>`;
  /** A statement for the piece and place of element j, or of the vector that begins there. */
  const inPieces = (statement: (piece: string, j: string) => string): string =>
    paged
      ? `if (j < ${page}u) { ${statement(name, "j")} } else { ${statement(`${name}_next`, `(j - ${page}u)`)} }`
      : statement(name, "j");
  const body = (statement: (piece: string, j: string) => string): string =>
    `{ let j = params.${name}_offset + i; ${inPieces(statement)} }`;
  const each = (access: (k: number) => string): string => [0, 1, 2, 3].map(access).join(", ");
  const lines: string[] = [];
  const need = (accessor: string, text: string): void => {
    if (used(accessor)) lines.push(text);
  };
  const vector = (piece: string, j: string): string => `${piece}[${j} / 4u]`;
  const element = (piece: string, j: string): string => (vectors ? `${piece}[${j} / 4u][${j} % 4u]` : `${piece}[${j}]`);
  const needsElements = !vectors && used(`${name}_vec`);
  if (used(`${name}_at`) || needsElements)
    lines.push(`fn ${name}_at(i: u32) -> ${type} ${body((p, j) => `return ${element(p, j)};`)}`);
  need(
    `${name}_vec`,
    vectors
      ? `fn ${name}_vec(i: u32) -> ${of4} ${body((p, j) => `return ${vector(p, j)};`)}`
      : `fn ${name}_vec(i: u32) -> ${of4} { return ${of4}(${each((k) => `${name}_at(i + ${k}u)`)}); }`,
  );
  const needsSet = !vectors && used(`${name}_set_vec`);
  if (used(`${name}_set`) || needsSet)
    lines.push(`fn ${name}_set(i: u32, value: ${type}) ${body((p, j) => `${element(p, j)} = value;`)}`);
  need(
    `${name}_set_vec`,
    vectors
      ? `fn ${name}_set_vec(i: u32, values: ${of4}) ${body((p, j) => `${vector(p, j)} = values;`)}`
      : `fn ${name}_set_vec(i: u32, values: ${of4}) { ${[0, 1, 2, 3].map((k) => `${name}_set(i + ${k}u, values[${k}]);`).join(" ")} }`,
  );
  return lines;
}
