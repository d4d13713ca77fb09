// Who may touch the model: any number of readers and trainers at once, who take turns at their awaits; a change of the model waits for them.

export class Turns {
  readonly #users = new Set<Promise<unknown>>();
  #change: Promise<unknown> = Promise.resolve();

  /** Runs `job` while no change is under way or waiting. */
  async use<T>(job: () => Promise<T>): Promise<T> {
    for (let before; before !== this.#change;) {
      before = this.#change;
      await before;
    }
    const user = job();
    this.#users.add(user);
    try {
      return await user;
    } finally {
      this.#users.delete(user);
    }
  }

  /** Runs `job` alone. Whoever uses the model should be told to stop first. */
  change<T>(job: () => Promise<T>): Promise<T> {
    const before = this.#change;
    const changed = (async () => {
      await before;
      await Promise.allSettled(this.#users);
      return job();
    })();
    this.#change = changed.catch(() => undefined);
    return changed;
  }
}
