// The handle of numbers stored by a scheme: one plain tensor per part. Ops that take matrices take these as they are.
import type { Backend } from "../backends/backend.js";
import { showShape, type Shape } from "../core/shape.js";
import type { PackedView } from "../core/view.js";
import { partSpecs, type Scheme } from "../quant/schemes/scheme.js";
import { adopt, disown, scope } from "./scope.js";
import { newId, Tensor } from "./tensor.js";

export class PackedTensor implements Disposable {
  readonly backend: Backend;
  readonly scheme: Scheme;
  readonly shape: Shape;
  /** "plain", or an order of words that one backend likes. */
  readonly layout: string;
  readonly parts: readonly Tensor[];
  readonly id: number;

  /** Takes over the parts, in the scheme's order. */
  constructor(scheme: Scheme, shape: Shape, layout: string, parts: readonly Tensor[], id: number = newId()) {
    this.backend = parts[0].backend;
    this.scheme = scheme;
    this.shape = shape;
    this.layout = layout;
    this.parts = parts;
    this.id = id;
    for (const part of parts) disown(part);
    adopt(this);
  }

  /** New memory of undefined content. */
  static allocate(backend: Backend, scheme: Scheme, shape: Shape, layout = "plain"): PackedTensor {
    // The scope frees the first parts where memory ends before the last one.
    return scope(() => {
      const parts = partSpecs(scheme, shape).map((part) => Tensor.allocate(backend, part.shape, part.dtype));
      return new PackedTensor(scheme, shape, layout, parts);
    });
  }

  /** Bytes of all parts on the device. */
  get byteLength(): number {
    return this.parts.reduce((total, part) => total + part.byteLength, 0);
  }

  /** What kernels see. @throws DisposedError */
  get view(): PackedView {
    return {
      scheme: this.scheme.name,
      shape: this.shape,
      layout: this.layout,
      parts: this.parts.map((part) => part.view),
    };
  }

  /** Another handle of the same value. */
  retain(): PackedTensor {
    return new PackedTensor(
      this.scheme,
      this.shape,
      this.layout,
      this.parts.map((part) => part.retain()),
      this.id,
    );
  }

  get disposed(): boolean {
    return this.parts[0].disposed;
  }

  dispose(): void {
    disown(this);
    for (const part of this.parts) part.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `${this.scheme.name}${showShape(this.shape)}`;
  }
}
