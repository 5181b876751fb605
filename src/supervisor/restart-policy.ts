import type { InstanceFailure } from "../contract/index.ts";

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
  /** Another attempt would meet the same fault: a file or a program is not there. */
  final: boolean;
  /** How long it had been running; null where it never was. */
  ranFor: number | null;
  /** What of it the API shows beside the reason, where it was a process that ended. */
  end?: Pick<InstanceFailure, "exit_code" | "signal" | "log_lines">;
}

export type Verdict =
  | { type: "give-up"; tally: Tally; count: number; message: string }
  | { type: "again"; tally: Tally; count: number; delay: number; describe: string };

/** Doubled at each crash in a row, spread by a fifth so that ten models do not come back in step. */
const delayAfter = (failures: number, policy: RestartPolicy, random: number): number =>
  Math.min(policy.maxDelay, policy.firstDelay * 2 ** (failures - 1)) * (0.9 + 0.2 * random);

/** @param random 0 to 1 */
export const judge = (before: Tally, failure: Failure, policy: RestartPolicy, random: number): Verdict => {
  const ran = before.ran || failure.ranFor !== null;
  if (!ran) {
    const failedAttempts = before.failedAttempts + 1;
    const tally = { ...before, failedAttempts };
    const count = failedAttempts;
    if (failure.final || failedAttempts >= policy.maxAttempts) {
      return { type: "give-up", tally, count, message: failure.reason };
    }
    const describe = `attempt ${failedAttempts} of ${policy.maxAttempts} failed: ${failure.reason}`;
    return { type: "again", tally, count, delay: delayAfter(failedAttempts, policy, random), describe };
  }
  const stable = failure.ranFor !== null && failure.ranFor >= policy.stableAfter;
  const crashes = (stable ? 0 : before.crashes) + 1;
  const tally = { ran: true, failedAttempts: 0, crashes };
  if (failure.final || crashes >= policy.maxCrashes) {
    const message = failure.final ? failure.reason : `given up after ${crashes} crashes in a row: ${failure.reason}`;
    return { type: "give-up", tally, count: crashes, message };
  }
  const describe = `crash ${crashes} of ${policy.maxCrashes} in a row: ${failure.reason}`;
  return { type: "again", tally, count: crashes, delay: delayAfter(crashes, policy, random), describe };
};
