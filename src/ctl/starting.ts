import type { Command } from "commander";
import type { ListedInstance } from "../contract/instance-facts.ts";
import { type Api, RefusedError } from "./api.ts";
import { awaitInstance, runsOrWhyNot, sayLost, withLastLines } from "./await-status.ts";
import { operate } from "./calls.ts";
import type { Cli } from "./cli.ts";
import { type Deadline, deadlineIn, NEVER } from "./deadline.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { asWord, nameOf } from "./names.ts";
import { Progress } from "./progress.ts";
import { parseDuration } from "./time.ts";

/** Starts and restarts, with what is seen of them: how far loading has come, and why it failed. */

/** Longer than a small model takes to load, and no longer than people like to look at a prompt that is not theirs. */
const UNASKED_WAIT_MS = 20_000;

export interface StartOptions {
  wait?: true;
  timeout?: string;
}

export interface Patience {
  deadline: Deadline;
  /** Taking longer is an error; otherwise it is left to go on. */
  strict: boolean;
}

export const addPatience = (command: Command): Command =>
  command
    .option("-w, --wait", "until it runs, however long it loads; progress is shown")
    .option("--timeout <time>", "wait at most so long (30s, 5m); exit code 124 when it is over");

/** `--timeout` says how long from now, and so that one waits at all. */
export const patienceOf = ({ wait, timeout }: StartOptions): Patience => {
  if (timeout !== undefined) return { deadline: deadlineIn(parseDuration(timeout, "--timeout")), strict: true };
  if (wait !== undefined) return { deadline: NEVER, strict: true };
  return { deadline: { at: performance.now() + UNASKED_WAIT_MS }, strict: false };
};

export interface Started {
  /** What the API answered, the instance as it became. */
  raw: Record<string, unknown>;
  instance: ListedInstance;
}

const stillLoading = (name: string, error: CtlError): CtlError =>
  new CtlError(exitCodes.timeout, error.message, [
    "it goes on loading",
    `wait longer: solar-host ctl wait ${asWord(name)} --for running`,
    `or give up: solar-host ctl stop ${asWord(name)}`,
  ]);

/** Nobody knows whether what was asked for and not answered was done. */
const tooLate = (error: unknown, name: string, verb: "start" | "restart"): unknown =>
  error instanceof CtlError && error.exitCode === exitCodes.timeout
    ? new CtlError(exitCodes.timeout, error.message, [
        `it may have been asked to ${verb} ${asWord(name)} all the same: solar-host ctl get ${asWord(name)}`,
      ])
    : error;

/** Seq of the newest line; -1 where there is none, or the daemon does not say. */
const lastSeq = async (api: Api, id: string, { signal }: Deadline): Promise<number> => {
  const { newestSeq } = await import("./log-pages.ts");
  return await newestSeq(api, id, signal).catch(() => -1);
};

/** What a start that failed is told as; anything else stays what it is. */
const explained = async (api: Api, id: string, name: string, error: unknown, after: number): Promise<unknown> => {
  if (!(error instanceof CtlError)) return error;
  if (error instanceof RefusedError && error.status === 500) {
    // The API's own words name the reason as the instance does.
    return await withLastLines(api, id, name, new CtlError(exitCodes.failure, `${name}: ${error.message}`), after);
  }
  if (error instanceof RefusedError || error.exitCode !== exitCodes.failure) return error;
  return await withLastLines(api, id, name, error, after);
};

/**
 * Starts or restarts one instance and waits as long as `patience` says.
 * @throws CtlError with the reason and the last log lines where it failed
 */
const startOne = async (
  api: Api,
  instance: ListedInstance,
  name: string,
  verb: "start" | "restart",
  patience: Patience,
  progress: Progress,
  onLost: (error: CtlError) => void,
): Promise<Started> => {
  const { id } = instance;
  const { deadline } = patience;
  // What earlier starts wrote does not explain how this one ends.
  const after = await lastSeq(api, id, deadline);
  try {
    if (verb === "restart") progress.show(name, { ...instance, status: "stopping" });
    const { raw, value } = await operate(api, id, verb, 0, deadline.signal).catch((error: unknown) => {
      throw tooLate(error, name, verb);
    });
    const shape = typeof raw === "object" ? raw : {};
    try {
      const onChange = (now: ListedInstance): void => progress.show(name, now);
      const found = await awaitInstance(api, id, name, runsOrWhyNot(name), { deadline, onChange, onLost });
      return { raw: { ...shape, instance: found.raw }, instance: found.value };
    } catch (error) {
      if (!(error instanceof CtlError) || error.exitCode !== exitCodes.timeout) throw error;
      if (patience.strict) throw stillLoading(name, error);
      return { raw: { ...shape }, instance: value.instance };
    }
  } catch (error) {
    progress.end(name, null);
    throw await explained(api, id, name, error, after);
  }
};

/** How a start ended, for people. */
export const startedMessage = ({ instance }: Started, name: string): string =>
  instance.status === "running"
    ? `${name} runs on port ${instance.port}`
    : `${name} is still loading: solar-host ctl wait ${asWord(name)} --for running`;

/** The whole of `start` and `restart`. */
export const startAll = async (
  cli: Cli,
  api: Api,
  instances: readonly ListedInstance[],
  all: readonly ListedInstance[],
  verb: "start" | "restart",
  options: { json?: true; quiet?: true },
  patience: Patience,
): Promise<{ code: number; started: Started[] }> => {
  const progress = new Progress(cli.io, options.quiet === true || options.json === true);
  const onLost = sayLost((text) => progress.note(text));
  const names = instances.map((instance) => nameOf(instance, all));
  cli.onInterrupt = () => {
    progress.leave();
    cli.io.say(`interrupted; what was begun goes on: solar-host ctl stop ${names.map(asWord).join(" ")}`);
  };
  const started = new Map<string, Started>();
  const code = await cli.each(instances, async (instance) => {
    const name = nameOf(instance, all);
    const end = await startOne(api, instance, name, verb, patience, progress, onLost);
    started.set(instance.id, end);
    progress.end(name, startedMessage(end, name));
    return exitCodes.ok;
  });
  cli.onInterrupt = null;
  return { code, started: instances.flatMap(({ id }) => started.get(id) ?? []) };
};
