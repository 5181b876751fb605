/** Says that an instance is in use, until it is released; releasing twice is once. */
export interface Lease extends Disposable {
  release(): void;
}

/** The uses of an instance now. An instance in use is not unloaded to make room. */
export class Leases {
  private held = 0;
  private idleFrom = performance.now();

  take(): Lease {
    this.held += 1;
    let isReleased = false;
    const release = (): void => {
      if (isReleased) return;
      isReleased = true;
      this.held -= 1;
      if (this.held === 0) this.idleFrom = performance.now();
    };
    return { release, [Symbol.dispose]: release };
  }

  get count(): number {
    return this.held;
  }

  /** Milliseconds since the last one was released, by a clock that only grows; 0 while one is held. */
  get idleMs(): number {
    return this.held > 0 ? 0 : performance.now() - this.idleFrom;
  }
}
