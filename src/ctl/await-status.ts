import type { ListedInstance } from "../contract/instance-facts.ts";
import type { Answer, Api } from "./api.ts";
import { getInstance, instancePath } from "./calls.ts";
import { type Deadline, leftOf } from "./deadline.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { asWord } from "./names.ts";
import { isAtRest } from "./status.ts";
import { oneLine } from "./table.ts";

/** Waits for what an instance becomes, and says why it did not. */

const SOONEST_MS = 50;
const LATEST_MS = 1000;
/** Before it is too late it is asked a last time. */
const LAST_ASK_MS = 200;
const SHOWN_LINES = 10;

export interface AwaitOptions {
  deadline: Deadline;
  onChange?: (instance: ListedInstance) => void;
  /** The daemon is not there for a while; it is asked again. */
  onLost?: (error: CtlError) => void;
}

/**
 * Asks until `done` says so; densely at first.
 * @throws CtlError: time out, or the instance is gone, or the key is refused
 */
export const awaitInstance = async (
  api: Api,
  id: string,
  name: string,
  done: (instance: ListedInstance) => boolean,
  { deadline, onChange, onLost }: AwaitOptions,
): Promise<Answer<ListedInstance>> => {
  let pause = SOONEST_MS;
  let known: ListedInstance | null = null;
  for (;;) {
    try {
      const answer = await getInstance(api, id, { signal: deadline.signal });
      known = answer.value;
      onChange?.(known);
      if (done(known)) return answer;
    } catch (error) {
      if (error instanceof CtlError && error.exitCode === exitCodes.timeout && known !== null) {
        throw new CtlError(exitCodes.timeout, `${error.message}; ${name} was ${known.status} before`);
      }
      if (error instanceof CtlError && error.exitCode === exitCodes.notFound) {
        throw new CtlError(exitCodes.notFound, `${name}: ${error.message}`, error.hints);
      }
      // One that was there once may come back: a daemon that restarts takes a moment.
      if (!(error instanceof CtlError) || error.exitCode !== exitCodes.unreachable || known === null) throw error;
      onLost?.(error);
      // One on this machine may come back on another port.
      api.retarget();
    }
    const left = leftOf(deadline);
    const next = Math.min(pause, left > 2 * LAST_ASK_MS ? left - LAST_ASK_MS : left);
    if (left > 0) await Bun.sleep(next);
    if (leftOf(deadline) <= 0) {
      throw new CtlError(exitCodes.timeout, `the time is over: ${name} is ${known?.status ?? "unknown"}`);
    }
    pause = Math.min(pause * 1.3, LATEST_MS);
  }
};

/** For one wait or many: a daemon that is away is told once, however often it is asked. */
export const sayLost = (say: (text: string) => void): ((error: CtlError) => void) => {
  let said = false;
  return ({ message }) => {
    if (!said) say(`${message}; asking again`);
    said = true;
  };
};

/** Whether the instance runs. @throws CtlError: why it never will */
export const runsOrWhyNot =
  (name: string) =>
  (instance: ListedInstance): boolean => {
    if (instance.status === "failed") throw failed(name, instance);
    if (isAtRest(instance.status) || instance.status === "stopping") {
      throw new CtlError(exitCodes.failure, `${name} was stopped before it ran`);
    }
    return instance.status === "running";
  };

export const failed = (name: string, { error_message }: ListedInstance): CtlError =>
  new CtlError(exitCodes.failure, `${name} failed: ${error_message ?? "the daemon does not say why"}`);

/**
 * The same failure with the end of the instance's log below it.
 * @param after seq of the last line that has nothing to do with it
 */
export const withLastLines = async (
  api: Api,
  id: string,
  name: string,
  error: CtlError,
  after = -1,
): Promise<CtlError> => {
  const [{ logLine }, { z }] = await Promise.all([import("../contract/frames.ts"), import("zod")]);
  try {
    const { value } = await api.request(instancePath(id, "/logs"), z.array(logLine), {
      query: { after, tail: SHOWN_LINES },
    });
    if (value.length === 0) return error;
    return new CtlError(error.exitCode, error.message, [
      `the last lines of its log (all: solar-host ctl logs ${asWord(name)}):`,
      ...value.map(({ line }) => `  ${oneLine(line)}`),
    ]);
  } catch {
    return error;
  }
};
