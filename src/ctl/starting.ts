import type { Command } from "commander";
import type { ListedInstance } from "../contract/instance-facts.ts";
import { type Api, RefusedError } from "./api.ts";
import { operate } from "./calls.ts";
import {
  addConnection,
  addJson,
  addNames,
  addQuiet,
  type Cli,
  type Named,
  type Outcome,
  type OutputOptions,
} from "./cli.ts";
import { CtlError, exitCodes } from "./errors.ts";
import { asWord, nameOf } from "./names.ts";
import { Progress } from "./progress.ts";
import { awaitInstance, type Deadline, deadlineOf, runsOrWhyNot, withLastLines } from "./waiting.ts";

/** Starts and restarts, with what is seen of them: how far loading has come, and why it failed. */

/** Longer than a small model takes to load, and no longer than people like to look at a prompt that is not theirs. */
const UNASKED_WAIT_MS = 20_000;

export interface StartOptions extends OutputOptions {
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
  const strict = wait !== undefined || timeout !== undefined;
  return { deadline: strict ? deadlineOf(timeout) : { at: performance.now() + UNASKED_WAIT_MS }, strict };
};

export interface Started {
  /** What the API answered, the instance as it became. */
  raw: Record<string, unknown>;
  instance: ListedInstance;
}

const stillLoading = (name: string, { message }: CtlError): CtlError =>
  new CtlError(exitCodes.timeout, message, [
    "it goes on loading",
    `wait longer: solar-host ctl wait ${asWord(name)} --for running`,
    `or give up: solar-host ctl stop ${asWord(name)}`,
  ]);

/** Of what was asked for and not answered, nothing is known. */
const perhapsAsked = (name: string, verb: "start" | "restart", { message }: CtlError): CtlError =>
  new CtlError(exitCodes.timeout, message, [
    `it may have been asked to ${verb} ${asWord(name)} all the same: solar-host ctl get ${asWord(name)}`,
  ]);

/** Seq of the newest line; -1 where there is none, or the daemon does not say. */
const lastSeq = async (api: Api, id: string, signal: AbortSignal | undefined): Promise<number> => {
  const { newestSeq } = await import("./log-pages.ts");
  return await newestSeq(api, id, signal).catch(() => -1);
};

const isTimeout = (error: unknown): error is CtlError =>
  error instanceof CtlError && error.exitCode === exitCodes.timeout;

/** Asks for it and waits as long as `patience` says. @throws CtlError with the reason where it failed */
const askedAndAwaited = async (
  api: Api,
  { id }: ListedInstance,
  name: string,
  verb: "start" | "restart",
  { deadline, strict }: Patience,
  progress: Progress,
): Promise<Started> => {
  const { raw, value } = await operate(api, id, verb, 0, deadline.signal).catch((error: unknown) => {
    if (isTimeout(error)) throw perhapsAsked(name, verb, error);
    throw error instanceof RefusedError
      ? new CtlError(error.exitCode, `${name}: ${error.message}`, error.hints)
      : error;
  });
  const answer = raw as Record<string, unknown>;
  try {
    const isThere = (now: ListedInstance): boolean => runsOrWhyNot(name, now);
    const found = await awaitInstance(api, id, name, isThere, deadline, progress);
    return { raw: { ...answer, instance: found.raw }, instance: found.value };
  } catch (error) {
    if (!isTimeout(error)) throw error;
    if (strict) throw stillLoading(name, error);
    return { raw: answer, instance: value.instance };
  }
};

/** How a start ended, for people. */
const startedMessage = ({ instance }: Started, name: string): string =>
  instance.status === "running"
    ? `${name} runs on port ${instance.port}`
    : `${name} is still loading: solar-host ctl wait ${asWord(name)} --for running`;

/**
 * Starts or restarts one instance, shows how far it is and says how it ended.
 * @throws CtlError with the reason, and the last lines of its log below it
 */
export const startOne = async (
  api: Api,
  instance: ListedInstance,
  name: string,
  verb: "start" | "restart",
  patience: Patience,
  progress: Progress,
): Promise<Started> => {
  // What earlier starts wrote does not explain how this one ends.
  const after = await lastSeq(api, instance.id, patience.deadline.signal);
  if (verb === "restart") progress.show(name, { ...instance, status: "stopping" });
  try {
    const started = await askedAndAwaited(api, instance, name, verb, patience, progress);
    progress.end(name, startedMessage(started, name));
    return started;
  } catch (error) {
    progress.end(name, null);
    throw await withLastLines(api, instance.id, name, error, after);
  }
};

/** Starts or restarts what was named, all at the same time. */
export const startAll = async (
  cli: Cli,
  named: Named,
  verb: "start" | "restart",
  options: OutputOptions,
  patience: Patience,
): Promise<Outcome<Started>> => {
  const progress = new Progress(cli.io, options);
  const names = named.instances.map((instance) => asWord(nameOf(instance, named.all)));
  cli.onInterrupt = () => {
    progress.leave();
    cli.io.say(`interrupted; what was begun goes on: solar-host ctl stop ${names.join(" ")}`);
  };
  const outcome = await cli.each(named, (instance, name) =>
    startOne(named.api, instance, name, verb, patience, progress),
  );
  cli.onInterrupt = null;
  return outcome;
};

/** The whole of `start` and `restart`. @param help what stands below their flags */
export const addStart = (command: Command, cli: Cli, verb: "start" | "restart", help: string): Command =>
  addConnection(addQuiet(addJson(addPatience(addNames(command)), "what the API answers, an array for several")))
    .addHelpText("after", help)
    .action(
      cli.action(async (names: string[], options: StartOptions & { all?: true }) => {
        if (options.all && verb === "restart") await cli.refuseUnnamedDaemon(command);
        const patience = patienceOf(options);
        const named = await cli.named(command, names, options.all === true, patience.deadline.signal);
        return cli.print(await startAll(cli, named, verb, options, patience), options);
      }),
    );
