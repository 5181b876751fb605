import type { InstanceFailure } from "../contract/index.ts";
import type { Failure, RestartPolicy, Verdict } from "./restart-policy.ts";

/** The sentence of `error_message` and the facts of `failure`, made of a failure and what was decided. Pure. */

/** What has failed and how often. */
export const describeFailure = ({ tally, count }: Verdict, { reason }: Failure, policy: RestartPolicy): string =>
  tally.ran
    ? `crash ${count} of ${policy.maxCrashes} in a row: ${reason}`
    : `attempt ${count} of ${policy.maxAttempts} failed: ${reason}`;

/** Of one that is tried again. @param at RFC 3339 */
export const againMessage = (description: string, delayMs: number, at: string): string =>
  `${description}; next attempt in ${(delayMs / 1000).toFixed(1)} s, at ${at}`;

/** Of one that is given up. */
export const givenUpMessage = (
  { tally, count, isFinal }: Verdict & { type: "give-up" },
  { reason }: Failure,
): string => (tally.ran && !isFinal ? `given up after ${count} crashes in a row: ${reason}` : reason);

/** The facts of a failure as the API shows them. @param next when it is tried again, RFC 3339; null: it is not */
export const failureFacts = (
  { count }: Pick<Verdict, "count">,
  { reason, end = { exit_code: null, signal: null, log_lines: [] } }: Pick<Failure, "reason" | "end">,
  next: string | null,
): InstanceFailure => ({ reason, ...end, attempts: count, at: new Date().toISOString(), next_attempt_at: next });
