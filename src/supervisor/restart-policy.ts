import type { Death, Outlook } from "../model-server/death.ts";

/** What to do after a start that failed or a crash. Pure: the loop of a run acts on it. Times are milliseconds. */

export interface RestartPolicy {
  /** Attempts in all for a start. */
  maxAttempts: number;
  /** Crashes in a row after which it is given up. */
  maxCrashes: number;
  firstDelay: number;
  maxDelay: number;
  /** A run of this length clears the count of crashes. */
  stableAfter: number;
}

export const defaultPolicy = (maxAttempts: number): RestartPolicy => ({
  maxAttempts,
  maxCrashes: 5,
  firstDelay: 500,
  maxDelay: 30_000,
  stableAfter: 60_000,
});

/** What has gone wrong so far in one run. */
export interface Tally {
  /** Whether it has been running since it was asked to start. */
  ran: boolean;
  failedAttempts: number;
  crashes: number;
}

export const freshTally: Tally = { ran: false, failedAttempts: 0, crashes: 0 };

export interface Failure {
  reason: string;
  /** What another attempt would meet. */
  outlook: Outlook;
  /** Milliseconds for which it had been running; null where it never was. */
  ranFor: number | null;
  /** What of it the API shows beside the reason, where it was a process that ended. */
  end?: Death["end"];
}

interface Judged {
  tally: Tally;
  /** Failed attempts, or crashes in a row, this one included. */
  count: number;
}

export type Verdict =
  /** `isFinal`: because another attempt would meet the same, not because there were too many. */
  (Judged & { type: "give-up"; isFinal: boolean }) | (Judged & { type: "again"; delay: number });

/** Whether another attempt would meet the same fault, so that it is not made. */
const repeats = (outlook: Outlook, ran: boolean, ranFor: number | null): boolean => {
  switch (outlook) {
    case "same":
      return true;
    case "same-before-ready":
      return ranFor === null;
    case "no-memory":
      return !ran;
    case "open":
      return false;
  }
};

/** Doubled at each crash in a row, spread by a fifth so that ten models do not come back in step. */
const delayAfter = (failures: number, policy: RestartPolicy, random: number): number =>
  Math.min(policy.maxDelay, policy.firstDelay * 2 ** (failures - 1)) * (0.9 + 0.2 * random);

/** Whether a start that failed, or a crash, is followed by another start, and when. @param random 0 to 1 */
export const judge = (before: Tally, failure: Failure, policy: RestartPolicy, random: number): Verdict => {
  const ran = before.ran || failure.ranFor !== null;
  const isStable = failure.ranFor !== null && failure.ranFor >= policy.stableAfter;
  const tally = ran
    ? { ran, failedAttempts: 0, crashes: (isStable ? 0 : before.crashes) + 1 }
    : { ...before, failedAttempts: before.failedAttempts + 1 };
  const count = ran ? tally.crashes : tally.failedAttempts;
  const isFinal = repeats(failure.outlook, ran, failure.ranFor);
  if (isFinal || count >= (ran ? policy.maxCrashes : policy.maxAttempts))
    return { type: "give-up", tally, count, isFinal };
  return { type: "again", tally, count, delay: delayAfter(count, policy, random) };
};
