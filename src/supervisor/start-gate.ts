/** Bounds how many models load at the same time; those that wait go in the order in which they came. */
export class StartGate {
  private inside = 0;
  private readonly waiting: (() => void)[] = [];

  /** @param limit 0 is none */
  constructor(private readonly limit: number) {}

  /** Resolves with how to leave, or with null where `signal` ended the wait. */
  async enter(signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return null;
    if (this.limit > 0 && this.inside >= this.limit) {
      const admitted = await this.waitForTurn(signal);
      if (!admitted) return null;
    } else {
      this.inside += 1;
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.leave();
    };
  }

  private waitForTurn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const turn = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve(true);
      };
      const giveUp = (): void => {
        this.waiting.splice(this.waiting.indexOf(turn), 1);
        resolve(false);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      this.waiting.push(turn);
    });
  }

  /** The place goes to whoever waits longest, so that nobody slips in between. */
  private leave(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.inside -= 1;
    else next();
  }
}
