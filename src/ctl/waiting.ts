import type { ListedInstance } from "../contract/instance-facts.ts";
import type { Answer, Api } from "./api.ts";
import { getInstance, instancePath } from "./calls.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { asWord } from "./names.ts";
import type { Progress } from "./progress.ts";
import { isAtRest } from "./status.ts";
import { oneLine } from "./table.ts";
import { parseDuration } from "./time.ts";

/** Waits for what an instance becomes, and says why it did not. */

const SOONEST_MS = 50;
const LATEST_MS = 1000;
/** Before it is too late it is asked a last time. */
const LAST_ASK_MS = 200;
/** However short a time was given, a daemon that is well is heard out. */
const SHORTEST_ANSWER_MS = 1000;
/** A timer that is set to more goes off at once. */
const LONGEST_MS = 2 ** 31 - 1;
const SHOWN_LINES = 10;

/** When it is too late: for what is waited for, and for the requests that ask for it. */
export interface Deadline {
  /** Moment of performance.now(). */
  readonly at: number;
  /** Ends the requests that are still without an answer then: a daemon that hangs takes no longer either. */
  readonly signal?: AbortSignal;
}

/** What `--timeout` says, from now on; without it there is none. @throws usage error */
export const deadlineOf = (timeout: string | undefined): Deadline => {
  if (timeout === undefined) return { at: Number.POSITIVE_INFINITY };
  const ms = parseDuration(timeout, "--timeout");
  const signal = AbortSignal.timeout(Math.min(LONGEST_MS, Math.max(SHORTEST_ANSWER_MS, ms)));
  return { at: performance.now() + ms, signal };
};

/** What an error of a request says of the one that is waited for; null where asking again may help. */
const lasting = (error: unknown, name: string, known: ListedInstance | null): unknown => {
  if (!(error instanceof CtlError)) return error;
  if (error.exitCode === exitCodes.timeout && known !== null)
    return new CtlError(exitCodes.timeout, `${error.message}; ${name} was ${known.status} before`);
  if (error.exitCode === exitCodes.notFound)
    return new CtlError(exitCodes.notFound, `${name}: ${error.message}`, error.hints);
  // One that was there once may come back: a daemon that restarts takes a moment.
  return error.exitCode === exitCodes.unreachable && known !== null ? null : error;
};

/**
 * Asks until `done` says so, densely at first, and shows how far it is.
 * @throws CtlError: time out, or the instance is gone, or the key is refused
 */
export const awaitInstance = async (
  api: Api,
  id: string,
  name: string,
  done: (instance: ListedInstance) => boolean,
  { at, signal }: Deadline,
  progress: Progress,
): Promise<Answer<ListedInstance>> => {
  let pause = SOONEST_MS;
  let known: ListedInstance | null = null;
  for (;;) {
    try {
      const answer = await getInstance(api, id, { signal });
      known = answer.value;
      progress.show(name, known);
      if (done(known)) return answer;
    } catch (error) {
      const told = lasting(error, name, known);
      if (told !== null) throw told;
      progress.lost(error as CtlError);
      // One on this machine may come back on another port.
      await api.retarget();
    }
    const left = at - performance.now();
    if (left > 0) await Bun.sleep(Math.min(pause, left > 2 * LAST_ASK_MS ? left - LAST_ASK_MS : left));
    if (at <= performance.now()) {
      throw new CtlError(exitCodes.timeout, `the time is over: ${name} is ${known?.status ?? "unknown"}`);
    }
    pause = Math.min(pause * 1.3, LATEST_MS);
  }
};

export const failed = (name: string, { error_message }: ListedInstance): CtlError =>
  new CtlError(exitCodes.failure, `${name} failed: ${error_message ?? "the daemon does not say why"}`);

/** Whether an instance that is to start runs. @throws CtlError: why it never will */
export const runsOrWhyNot = (name: string, instance: ListedInstance): boolean => {
  if (instance.status === "failed") throw failed(name, instance);
  if (isAtRest(instance.status) || instance.status === "stopping") {
    throw new CtlError(exitCodes.failure, `${name} was stopped before it ran`);
  }
  return instance.status === "running";
};

/**
 * A failure with the end of the instance's log below it; any other error stays what it is.
 * @param after seq of the last line that has nothing to do with it
 */
export const withLastLines = async (
  api: Api,
  id: string,
  name: string,
  error: unknown,
  after = -1,
): Promise<unknown> => {
  if (!(error instanceof CtlError) || error.exitCode !== exitCodes.failure) return error;
  const [{ logLine }, { z }] = await Promise.all([import("../contract/frames.ts"), import("zod")]);
  try {
    const query = { after, tail: SHOWN_LINES };
    const { value } = await api.request(instancePath(id, "/logs"), z.array(logLine), { query });
    if (value.length === 0) return error;
    return new CtlError(error.exitCode, error.message, [
      `the last lines of its log (all: solar-host ctl logs ${asWord(name)}):`,
      ...value.map(({ line }) => `  ${oneLine(line)}`),
    ]);
  } catch {
    return error;
  }
};
