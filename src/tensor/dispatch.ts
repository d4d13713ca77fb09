// How every op runs: check -> infer -> allocate -> kernel, else composite -> tell the tape, the recording and the watchers.
import { DECLINED, type Backend, type Kernel, type OpName } from "../backends/backend.js";
import { AliasError, BackendError, DTypeError, ShapeError } from "../core/errors.js";
import { sameShape, showShape } from "../core/shape.js";
import { viewsOf, type Operand, type View } from "../core/view.js";
import { ambient, withTape, type AnyHandle, type Means } from "./ambient.js";
import type { Attrs, Call, Each, Handles, In, OpDef, Out, Spec } from "./op.js";
import { PackedTensor } from "./packed-tensor.js";
import { recording } from "./recording-state.js";
import { scope } from "./scope.js";
import { Tensor } from "./tensor.js";

/** Runs one op. Throws before anything is enqueued if shapes, types, backends or aliasing are wrong. */
export function dispatch<K extends OpName>(
  def: OpDef<K>,
  inputs: Handles<In<K>>,
  attrs: Attrs<K>,
  call: Call<K> = {},
): Handles<Out<K>> {
  const backend = commonBackend(def.name, [...inputs, ...(call.targets ?? [])], call.backend);
  const inferred = def.infer(inputs, attrs);
  if (call.targets) {
    checkTargets(def.name, inputs, call.targets, inferred);
    ambient.tape?.wrote(def.name, inputs);
  }
  const ended = ambient.watchers.map((watcher) => watcher.began(def.name, inputs, attrs));
  let means: Means = "native";
  const outputs = withTape(undefined, () => {
    const readable = inputs.map((input) => decoded(def, backend, input)) as unknown as Handles<In<K>>;
    try {
      const native = runKernel(def, backend, readable, attrs, call, call.specs ?? inferred);
      if (native !== DECLINED && native !== undefined) return native;
      means = native === DECLINED ? "declined" : "composed";
      return runComposite(def, readable, attrs, call);
    } finally {
      readable.forEach((handle, i) => handle !== inputs[i] && handle?.dispose());
    }
  });
  for (const end of ended) end(means, outputs);
  if (call.targets) {
    for (const target of call.targets) for (const part of partsOf(target)) part.allocation.wrote(def.name);
  } else if (ambient.tape) {
    tell(def, inputs, outputs, attrs, call);
  }
  return outputs;
}

/** The backend of a call. Decorated backends share their memory with the one they wrap, and so may be mixed. */
function commonBackend(name: string, handles: readonly AnyHandle[], given: Backend | undefined): Backend {
  let backend = given;
  for (const handle of handles) {
    if (handle === undefined) continue;
    backend ??= handle.backend;
    if (handle.backend.memory !== backend.memory) {
      throw new BackendError(
        `${name}: all operands must live on one backend, got "${backend.name}" and "${handle.backend.name}"; copy one with data() and tensor()`,
      );
    }
    void handle.view; // throws if disposed, before the op's own checks read it
  }
  if (backend === undefined) throw new BackendError(`${name}: a call without operands must say which backend runs it`);
  return backend;
}

function decoded<K extends OpName>(def: OpDef<K>, backend: Backend, input: AnyHandle): AnyHandle {
  if (!(input instanceof PackedTensor) || !def.decode || input.scheme.name in backend.features.schemes) return input;
  return def.decode(input);
}

/** The outputs of the native kernel, DECLINED, or undefined where there is none. */
function runKernel<K extends OpName>(
  def: OpDef<K>,
  backend: Backend,
  inputs: Handles<In<K>>,
  attrs: Attrs<K>,
  { targets, wants }: Call<K>,
  specs: Each<Out<K>, Spec>,
): Handles<Out<K>> | typeof DECLINED | undefined {
  if (!(def.name in backend.kernels)) return undefined;
  if (targets) return launch(def, backend, inputs, targets, attrs) ? targets : DECLINED;
  const made: AnyHandle[] = [];
  let kept = false;
  try {
    specs.forEach((spec, i) => made.push(wants?.[i] === false ? undefined : allocate(backend, spec)));
    const outputs = made as unknown as Handles<Out<K>>;
    kept = launch(def, backend, inputs, outputs, attrs);
    return kept ? outputs : DECLINED;
  } finally {
    // The kernel declined or threw, or memory ended before the last output.
    if (!kept) for (const output of made) output?.dispose();
  }
}

/** Calls the kernel; false if it declined. */
function launch<K extends OpName>(
  def: OpDef<K>,
  backend: Backend,
  inputs: Handles<In<K>>,
  outputs: Handles<Out<K>>,
  attrs: Attrs<K>,
): boolean {
  const kernel = backend.kernels[def.name] as Kernel<K, void | typeof DECLINED>;
  const read = inputs.map(viewOf) as unknown as In<K>;
  const written = outputs.map(viewOf) as unknown as Out<K>;
  if (kernel(read, written, attrs) === DECLINED) return false;
  recording.into?.command({ op: def.name, inputs: read, outputs: written, attrs });
  return true;
}

function runComposite<K extends OpName>(
  def: OpDef<K>,
  inputs: Handles<In<K>>,
  attrs: Attrs<K>,
  call: Call<K>,
): Handles<Out<K>> {
  const { targets } = call;
  if (targets) {
    if (!def.write) throw missing(def.name);
    scope(() => def.write?.(inputs, targets, attrs));
    return targets;
  }
  const { composite } = def;
  if (!composite) throw missing(def.name);
  const wants = call.wants ?? everything(def.infer(inputs, attrs));
  return scope(() => {
    const made: readonly AnyHandle[] = composite(inputs, attrs, wants) as Handles<Out<K>>;
    const given: readonly AnyHandle[] = inputs;
    // A composite may hand an input back (a product with nothing to add, say); the result must be a value and a handle of its own.
    return made.map((output) =>
      output instanceof Tensor && given.includes(output) ? output.window(output.shape, output.dtype, 0) : output,
    ) as never;
  });
}

function missing(name: string): BackendError {
  return new BackendError(`${name}: the backend must have a kernel for this primitive, got none that covers this call`);
}

function everything<K extends OpName>(specs: Each<Out<K>, Spec>): Each<Out<K>, boolean> {
  return specs.map(() => true) as unknown as Each<Out<K>, boolean>;
}

function allocate(backend: Backend, { shape, dtype, scheme, layout }: Spec): Tensor | PackedTensor {
  return scheme ? PackedTensor.allocate(backend, scheme, shape, layout) : Tensor.allocate(backend, shape, dtype);
}

function viewOf(handle: AnyHandle): Operand {
  return handle?.view;
}

function partsOf(handle: AnyHandle): readonly Tensor[] {
  if (handle === undefined) return [];
  return handle instanceof PackedTensor ? handle.parts : [handle];
}

function checkTargets(
  name: string,
  inputs: readonly AnyHandle[],
  targets: readonly AnyHandle[],
  specs: readonly Spec[],
): void {
  const read = new Set(inputs.flatMap((input) => storagesOf(input)));
  const written = new Set<object>();
  targets.forEach((target, i) => {
    if (target === undefined) return;
    const { shape, dtype = "f32", scheme } = specs[i];
    if (target instanceof Tensor && target.dtype !== dtype) {
      throw new DTypeError(`${name}: the target must hold ${dtype}, got ${target.toString()}`);
    }
    if (!sameShape(target.shape, shape) || (scheme !== undefined && !(target instanceof PackedTensor))) {
      throw new ShapeError(`${name}: the target must be ${showShape(shape)}, got ${target.toString()}`);
    }
    for (const storage of storagesOf(target)) {
      if (!read.has(storage) && !written.has(storage)) {
        written.add(storage);
        continue;
      }
      throw new AliasError(
        `${name}: the target ${target.toString()} must share no memory with ${read.has(storage) ? "an input" : "another target"}; copy one of them first`,
      );
    }
  });
}

function storagesOf(handle: AnyHandle): readonly object[] {
  return viewsOf(viewOf(handle)).map((view: View) => view.storage);
}

function tell<K extends OpName>(
  def: OpDef<K>,
  inputs: Handles<In<K>>,
  outputs: Handles<Out<K>>,
  attrs: Attrs<K>,
  call: Call<K>,
): void {
  const { vjp, composite } = def;
  ambient.tape?.ran({
    name: def.name,
    attrs,
    inputs,
    outputs,
    gradient:
      vjp &&
      ((ins, outs, grads, wants) =>
        vjp(ins as Handles<In<K>>, outs as Handles<Out<K>>, grads as never, attrs, wants as never)),
    composite:
      composite &&
      ((ins) =>
        composite(
          ins as Handles<In<K>>,
          attrs,
          call.wants ?? everything(def.infer(ins as Handles<In<K>>, attrs)),
        ) as readonly AnyHandle[]),
  });
}
