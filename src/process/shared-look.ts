const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A look at the system that costs a process of its own: all who ask share one, and it is taken at most so often. */
export class SharedLook<T> {
  private next: Promise<T> | null = null;
  private running: Promise<unknown> = Promise.resolve();
  private began = Number.NEGATIVE_INFINITY;

  /** @param everyMs from the begin of one look to that of the next */
  constructor(
    private readonly look: () => Promise<T>,
    private readonly everyMs: number,
  ) {}

  /** What a look tells that begins after this call: an older one does not know what was started, or has ended, since. */
  fresh(): Promise<T> {
    this.next ??= this.begin();
    return this.next;
  }

  private async begin(): Promise<T> {
    // Who asked for the one before is told of its failure.
    await this.running.catch(() => undefined);
    await sleep(Math.max(0, this.began + this.everyMs - performance.now()));
    this.began = performance.now();
    this.next = null;
    const looked = this.look();
    this.running = looked;
    return looked;
  }
}
