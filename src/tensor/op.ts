// What an op is: a name in the contract, a rule for the form of its outputs, a composite that defines it, and a gradient.
import type { Backend, OpName, OpTable } from "../backends/backend.js";
import type { DType } from "../core/dtype.js";
import type { Shape } from "../core/shape.js";
import type { Operand, PackedView, View } from "../core/view.js";
import type { Scheme } from "../quant/schemes/scheme.js";
import type { PackedTensor } from "./packed-tensor.js";
import type { Tensor } from "./tensor.js";

export type Handle<V> = V extends View ? Tensor : V extends PackedView ? PackedTensor : V;
export type Handles<V extends readonly Operand[]> = { readonly [I in keyof V]: Handle<V[I]> };
export type Each<V extends readonly Operand[], X> = { readonly [I in keyof V]: X };
export type In<K extends OpName> = OpTable[K]["inputs"];
export type Out<K extends OpName> = OpTable[K]["outputs"];
export type Attrs<K extends OpName> = OpTable[K]["attrs"];

/** The form of an output: "f32" and plain unless said otherwise. */
export interface Spec {
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly scheme?: Scheme;
  readonly layout?: string;
}

export interface OpDef<K extends OpName> {
  readonly name: K;
  /** Checks shapes, types and attributes, and gives the form of each output (of a writer: of each target). Runs before anything else. */
  infer(inputs: Handles<In<K>>, attrs: Attrs<K>): Each<Out<K>, Spec>;
  /** The definition in smaller ops. Outputs that `wants` refuses may be left undefined. Writers have `write` instead. */
  composite?(inputs: Handles<In<K>>, attrs: Attrs<K>, wants: Each<Out<K>, boolean>): Partial<Handles<Out<K>>>;
  /** The definition of a writer: changes the targets. */
  write?(inputs: Handles<In<K>>, targets: Handles<Out<K>>, attrs: Attrs<K>): void;
  /** The gradient rule; without one the composite is replayed under a tape of its own. */
  vjp?(
    inputs: Handles<In<K>>,
    outputs: Handles<Out<K>>,
    grads: Each<Out<K>, Tensor | undefined>,
    attrs: Attrs<K>,
    wants: Each<In<K>, boolean>,
  ): Each<In<K>, Tensor | undefined>;
  /** Turns a packed operand into a plain one, for backends whose kernels do not know its scheme. Absent where the op reads any packed parts. */
  readonly decode?: (x: PackedTensor) => Tensor;
}

/** What a call says beside its inputs and attributes. */
export interface Call<K extends OpName> {
  /** Where to run an op without inputs. */
  readonly backend?: Backend;
  /** The forms of outputs that the inputs do not determine. */
  readonly specs?: Each<Out<K>, Spec>;
  /** Which outputs to make; all unless given. */
  readonly wants?: Each<Out<K>, boolean>;
  /** What a writer changes, in place of new outputs. */
  readonly targets?: Handles<Out<K>>;
}
