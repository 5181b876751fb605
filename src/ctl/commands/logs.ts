import type { Command } from "commander";
import type { LogLine } from "../../contract/frames.ts";
import { addConnection, addNames, type Cli } from "../cli.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { LogFollower } from "../log-follow.ts";
import { Backlog } from "../log-pages.ts";
import { LogPrinter } from "../log-printer.ts";
import { nameOf } from "../names.ts";
import { patternOf } from "../pattern.ts";
import { parseMoment } from "../time.ts";
import { addPrune } from "./logs-prune.ts";

interface LogsOptions {
  all?: true;
  follow?: true;
  tail?: string;
  since?: string;
  timestamps?: true;
  grep?: string;
  ignoreCase?: true;
  json?: true;
}

const DEFAULT_TAIL = 100;

/** Lines from the end; null is all. With a time or a pattern to look for, everything is looked through. */
const tailOf = ({ tail, since, grep }: LogsOptions): number | null => {
  if (tail === undefined) return since === undefined && grep === undefined ? DEFAULT_TAIL : null;
  if (tail === "all") return null;
  if (!/^\d+$/.test(tail)) throw usageError(`--tail '${tail}' is no number of lines`, "write a number, or all");
  return Number(tail);
};

interface Log {
  name: string;
  id: string;
  backlog: Backlog;
  printed: number;
  /** Why its lines could not be read to the end. */
  problem: unknown;
}

/** The lines of all logs in the order of their times, a page of each at a time. */
const printMerged = async (
  logs: readonly Log[],
  print: (log: Log, line: LogLine) => void,
  pace: () => Promise<void>,
) => {
  const heads = new Map<Log, { lines: LogLine[]; at: number }>();
  const refill = async (log: Log): Promise<void> => {
    heads.delete(log);
    await pace();
    try {
      const lines = await log.backlog.next();
      if (lines.length > 0) heads.set(log, { lines, at: 0 });
    } catch (error) {
      log.problem = error;
    }
  };
  await Promise.all(logs.map(refill));
  while (heads.size > 0) {
    let first: Log | null = null;
    let earliest: LogLine | null = null;
    for (const [log, { lines, at }] of heads) {
      const line = lines[at];
      if (line === undefined || (earliest !== null && line.timestamp >= earliest.timestamp)) continue;
      first = log;
      earliest = line;
    }
    if (first === null || earliest === null) return;
    print(first, earliest);
    const head = heads.get(first);
    if (head !== undefined && ++head.at === head.lines.length) await refill(first);
  }
};

/** Following goes on where the reading ended, as soon as a daemon that is away is there again. */
const isLasting = ({ problem, backlog }: Log, follows: boolean): boolean => {
  const isAway = problem instanceof CtlError && problem.exitCode === exitCodes.unreachable;
  return problem !== null && !(follows && isAway && backlog.mayGoOn);
};

const run = async (cli: Cli, command: Command, names: string[], options: LogsOptions): Promise<number> => {
  const { io } = cli;
  const { json = false, timestamps = false, follow = false } = options;
  cli.isStream = follow;
  const tail = tailOf(options);
  const grep = options.grep === undefined ? null : patternOf(options.grep, options.ignoreCase === true);
  const moment = options.since === undefined ? null : parseMoment(options.since, "--since", Date.now());
  const range = { tail, since: moment === null ? null : new Date(moment).toISOString() };
  const named = await cli.lookedAt(command, names, options.all === true);
  const { api, instances, all } = named;
  const followers: LogFollower[] = [];
  const sources = instances.map((instance) => ({ id: instance.id, name: nameOf(instance, all) }));
  const printer = new LogPrinter(io, { json, timestamps, grep }, sources, () => {
    for (const follower of followers) follower.heed();
  });
  const logs = sources.map(({ id, name }): Log => {
    const backlog = new Backlog(api, id, range, (from, to) => printer.tellGap(name, from, to));
    return { id, name, backlog, printed: 0, problem: null };
  });
  const print = (log: Log, line: LogLine): void => {
    log.printed += 1;
    printer.print(log.id, line);
  };
  // A reader that is slower than the daemon is waited for before the next page is fetched.
  const pace = async (): Promise<void> => {
    printer.flush();
    await io.stdout.drained();
  };
  await printMerged(logs, print, pace);
  await pace();
  cli.onInterrupt = () => printer.flush();
  const { code } = await cli.each(
    named,
    async ({ id }, name) => {
      const log = logs.find((one) => one.id === id);
      if (log === undefined || isLasting(log, follow)) throw log?.problem;
      // With a time, or from now on, there may well be lines before.
      if (log.printed === 0 && moment === null && tail !== 0) io.say(`${name}: no lines yet`);
      if (!follow) return;
      const follower = new LogFollower(io, api, { id, name }, printer, log.backlog.last);
      followers.push(follower);
      await follower.run();
    },
    json,
  );
  printer.flush();
  return code;
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addNames(command))
    .option("-f, --follow", "go on with new lines, through restarts of the daemon and breaks of the network")
    .option("-n, --tail <lines>", `the last so many, or all (default: ${DEFAULT_TAIL}; all with --since or --grep)`)
    .option("--since <time>", "from then on: 30s, 5m, 1h ago, RFC 3339, or a Unix time")
    .option("-t, --timestamps", "when each line was read")
    .option("--grep <pattern>", "only lines that match this regular expression")
    .option("-i, --ignore-case", "--grep finds capital and small letters alike")
    .option("--json", "a line of JSON each: {seq, timestamp, line}; with several, instance_id too")
    .addHelpText(
      "after",
      `
Following, each line comes exactly once: after a break it goes on behind the last one. Lines whose file was
removed meanwhile are named on stderr.

Examples:
  $ solar-host ctl logs llama
  $ solar-host ctl logs -f llama mistral
  $ solar-host ctl logs --since 10m --grep 'error|warn' -i llama
  $ solar-host ctl logs -f --tail 0 --json llama | jq -r .line`,
    )
    .action(cli.action((names: string[], options: LogsOptions) => run(cli, command, names, options)));
  addPrune(command, cli);
};
