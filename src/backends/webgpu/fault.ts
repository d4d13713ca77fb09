// What a device says late. Work is handed over at once and found wrong afterwards; until then its results carry the question with them.

/** The outcome of a submit, an allocation or a compilation: open at first, then good or an error. */
export class Fault {
  #settled = false;
  #error: Error | undefined;
  #answer: Promise<void> | undefined;

  /** Not known to be good. */
  get alive(): boolean {
    return !this.#settled || this.#error !== undefined;
  }

  /** Whether the device has answered. */
  get settled(): boolean {
    return this.#settled;
  }

  get error(): Error | undefined {
    return this.#error;
  }

  /** @param answer what went wrong, or nothing; it does not reject */
  settleBy(answer: Promise<Error | undefined>): void {
    this.#answer = answer.then((error) => {
      this.#error = error;
      this.#settled = true;
    });
  }

  /** Resolves when the device has answered. */
  async answered(): Promise<void> {
    await this.#answer;
  }
}

/** The faults of several operands, without those that turned out to be good, each once. */
export function union(...lists: readonly (readonly Fault[])[]): readonly Fault[] {
  const faults = new Set<Fault>();
  for (const list of lists) for (const fault of list) if (fault.alive) faults.add(fault);
  return faults.size === 0 ? none : [...faults];
}

export const none: readonly Fault[] = [];
