/** Bounds how often one address may try keys: ten wrong ones in a second close it to wrong keys for a minute. */

const MOST = 10;
const WINDOW_MS = 1000;
const CLOSED_MS = 60_000;
/** Addresses that are remembered at once. */
const KEPT = 10_000;

interface Tries {
  since: number;
  count: number;
  closedUntil: number;
}

export class WrongKeys {
  private readonly tries = new Map<string, Tries>();

  /** @param now milliseconds of a clock that only grows */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /**
   * A wrong key was offered.
   * @returns seconds for which the address is closed; 0 where it is not
   */
  add(address: string): number {
    const now = this.now();
    const known = this.tries.get(address);
    if (known !== undefined && known.closedUntil > now) return Math.ceil((known.closedUntil - now) / 1000);
    const isFresh = known === undefined || now - known.since >= WINDOW_MS;
    const next = isFresh ? { since: now, count: 1, closedUntil: 0 } : { ...known, count: known.count + 1 };
    if (next.count > MOST) next.closedUntil = now + CLOSED_MS;
    this.remember(address, next);
    return next.closedUntil === 0 ? 0 : CLOSED_MS / 1000;
  }

  /** The newest stands last, so that the oldest is the one that is forgotten. */
  private remember(address: string, tries: Tries): void {
    this.tries.delete(address);
    this.tries.set(address, tries);
    if (this.tries.size <= KEPT) return;
    const [oldest] = this.tries.keys();
    if (oldest !== undefined) this.tries.delete(oldest);
  }
}
