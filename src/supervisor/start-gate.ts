interface Waiting {
  priority: number;
  admit: () => void;
}

/** Bounds how many models load at the same time; of those that wait, the most urgent goes first, then the earliest. */
export class StartGate {
  private inside = 0;
  private readonly waiting: Waiting[] = [];

  /** @param limit 0 is none */
  constructor(private readonly limit: number) {}

  /** Takes a place without waiting for it: for one that an earlier daemon had let in. Gives how to leave. */
  join(): () => void {
    this.inside += 1;
    return this.leaveOnce();
  }

  /**
   * Resolves with how to leave, or with null where `signal` ended the wait.
   * @param priority higher goes first
   */
  async enter(signal: AbortSignal, priority = 0): Promise<(() => void) | null> {
    if (signal.aborted) return null;
    if (this.limit > 0 && this.inside >= this.limit) {
      const admitted = await this.waitForTurn(signal, priority);
      if (!admitted) return null;
    } else {
      this.inside += 1;
    }
    return this.leaveOnce();
  }

  private leaveOnce(): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.leave();
    };
  }

  private waitForTurn(signal: AbortSignal, priority: number): Promise<boolean> {
    return new Promise((resolve) => {
      const admit = (): void => {
        signal.removeEventListener("abort", giveUp);
        resolve(true);
      };
      const turn: Waiting = { priority, admit };
      const giveUp = (): void => {
        this.waiting.splice(this.waiting.indexOf(turn), 1);
        resolve(false);
      };
      signal.addEventListener("abort", giveUp, { once: true });
      const behind = this.waiting.findIndex((other) => other.priority < priority);
      this.waiting.splice(behind === -1 ? this.waiting.length : behind, 0, turn);
    });
  }

  /** The place goes to the next in line, so that no newcomer slips in between. */
  private leave(): void {
    // Those that joined may have made it more than there is room for.
    const next = this.inside > this.limit ? undefined : this.waiting.shift();
    if (next === undefined) this.inside -= 1;
    else next.admit();
  }
}
