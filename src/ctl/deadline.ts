/** When it is too late: for what is waited for, and for the requests that ask for it. */

/** However short a time was given, a daemon that is well is heard out. */
const SHORTEST_ANSWER_MS = 1000;
/** A timer that is set to more goes off at once. */
const LONGEST_MS = 2 ** 31 - 1;

export interface Deadline {
  /** Moment of performance.now(); null waits for ever. */
  readonly at: number | null;
  /** Ends the requests that are still without an answer then: a daemon that hangs takes no longer either. */
  readonly signal?: AbortSignal;
}

export const NEVER: Deadline = { at: null };

export const deadlineIn = (ms: number): Deadline => ({
  at: performance.now() + ms,
  signal: AbortSignal.timeout(Math.min(LONGEST_MS, Math.max(SHORTEST_ANSWER_MS, ms))),
});

/** Milliseconds that are left; not above 0 when it is too late. */
export const leftOf = ({ at }: Deadline): number => (at === null ? Number.POSITIVE_INFINITY : at - performance.now());
