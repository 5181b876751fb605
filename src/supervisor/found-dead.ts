import type { Backend } from "../backends/index.ts";
import type { InstanceFailure } from "../contract/index.ts";
import type { InstanceLog } from "../logs/instance-log.ts";
import { REASON_LINES } from "../model-server/death.ts";
import type { LaunchRecord } from "../model-server/launch-record.ts";
import { describeFailure, failureFacts } from "./error-message.ts";
import { type Failure, judge, type RestartPolicy, type Tally } from "./restart-policy.ts";

/** A process that was running when the last daemon died, and has died since. */

/** What the launch record tells of it. */
export type FoundDead = Pick<LaunchRecord, "crashes" | "started_at" | "first_seq">;

/** What the next start makes of it. */
export interface EarlierCrash {
  tally: Tally;
  /** Crashes in a row, that one included. */
  count: number;
  message: string;
  failure: InstanceFailure;
}

/**
 * A crash like any other, with one difference: a boot starts it again in any case, so that only the next crash may be
 * one too many.
 * @param log opened
 */
export const judgeFoundDead = (
  log: InstanceLog,
  backend: Backend,
  { crashes, started_at, first_seq }: FoundDead,
  policy: RestartPolicy,
): EarlierCrash => {
  const lines = backend.reasonLines(log.lastLines(REASON_LINES, first_seq));
  const reason = ["the model server ended while no daemon ran", ...lines].join(": ");
  const last = log.read(log.nextSeq - 1, 1, null).entries.at(-1)?.timestamp ?? started_at;
  const ranFor = Math.max(0, Date.parse(last) - Date.parse(started_at));
  const tally = { ran: true, failedAttempts: 0, crashes: Math.min(crashes, policy.maxCrashes - 2) };
  const failure: Failure = { reason, outlook: "open", ranFor };
  const verdict = judge(tally, failure, policy, 0);
  return {
    tally: verdict.tally,
    count: verdict.count,
    message: describeFailure(verdict, failure, policy),
    failure: failureFacts(verdict, failure, null),
  };
};
