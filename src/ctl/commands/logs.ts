import type { Command } from "commander";
import type { LogLine } from "../../contract/frames.ts";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import type { Api } from "../api.ts";
import { addConnection, addNames, type Cli } from "../cli.ts";
import { CtlError, exitCodes, usageError, worst } from "../errors.ts";
import { reportError } from "../io.ts";
import { gapMessage, LogFollower } from "../log-follow.ts";
import { type LogPiece, type LogStart, newestSeq, readLog } from "../log-pages.ts";
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

const startOf = async (api: Api, id: string, tail: number | null, moment: number | null): Promise<LogStart> => {
  if (tail === 0) return { after: await newestSeq(api, id), tail: null, since: null };
  return { after: -1, tail, since: moment === null ? null : new Date(moment).toISOString() };
};

interface Backlog {
  instance: ListedInstance;
  pieces: AsyncGenerator<LogPiece>;
  /** Where it was begun: a part of it that is counted from the end can be asked for only once. */
  start: LogStart;
  /** Seq up to which everything was printed. */
  last: number;
}

/** A piece of each log at a time, line by line in the order of their times. */
const printMerged = async (
  logs: Backlog[],
  print: (log: Backlog, line: LogLine) => void,
  tell: (log: Backlog, piece: LogPiece) => void,
  failed: (log: Backlog, error: unknown) => void,
): Promise<void> => {
  const heads = new Map<Backlog, { lines: LogLine[]; at: number }>();
  const refill = async (log: Backlog): Promise<void> => {
    heads.delete(log);
    for (;;) {
      const { value, done } = await log.pieces.next().catch((error: unknown) => {
        failed(log, error);
        return { value: undefined, done: true as const };
      });
      if (done) return;
      if ("lines" in value) {
        heads.set(log, { lines: value.lines, at: 0 });
        return;
      }
      tell(log, value);
    }
  };
  await Promise.all(logs.map(refill));
  while (heads.size > 0) {
    let first: Backlog | null = null;
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

const run = async (cli: Cli, command: Command, names: string[], options: LogsOptions): Promise<number> => {
  const { io } = cli;
  const tail = tailOf(options);
  const grep = options.grep === undefined ? null : patternOf(options.grep, options.ignoreCase === true);
  const look = { json: options.json === true, timestamps: options.timestamps === true, grep };
  const moment = options.since === undefined ? null : parseMoment(options.since, "--since", Date.now());
  const { api, instances, all, code } = await cli.lookedAt(command, names, options.all === true);
  const sources = instances.map((instance) => ({ id: instance.id, name: nameOf(instance, all) }));
  const followers: LogFollower[] = [];
  const printer = new LogPrinter(io, look, sources, () => {
    for (const follower of followers) follower.heed();
  });

  // A reader that is slower than the daemon is waited for before the next page is fetched.
  async function* atItsPace(pieces: AsyncGenerator<LogPiece>): AsyncGenerator<LogPiece> {
    for await (const piece of pieces) {
      yield piece;
      printer.flush();
      await io.stdout.drained();
    }
  }

  const logs: Backlog[] = [];
  const opened = await cli.each(instances, async (instance) => {
    const start = await startOf(api, instance.id, tail, moment);
    const log: Backlog = {
      instance,
      start,
      last: start.after,
      pieces: atItsPace(
        readLog(api, instance.id, start, (seq) => {
          log.last = seq;
        }),
      ),
    };
    logs.push(log);
    return 0;
  });
  const nameIn = (log: Backlog): string => nameOf(log.instance, all);
  let lines = 0;
  const empty = new Set(logs);
  let failures: number = exitCodes.ok;
  const broken = new Set<Backlog>();
  await printMerged(
    logs,
    (log, line) => {
      empty.delete(log);
      printer.print(log.instance.id, line);
      if (++lines % 10_000 === 0) printer.flush();
    },
    (log, piece) => {
      printer.flush();
      if ("gap" in piece) io.say(gapMessage(nameIn(log), piece.gap));
    },
    (log, error) => {
      // Following goes on where this ended, as soon as the daemon is there again.
      const isAway = error instanceof CtlError && error.exitCode === exitCodes.unreachable;
      const isChosen = log.start.tail !== null || log.start.since !== null;
      if (options.follow && isAway && (!isChosen || log.last > log.start.after)) return;
      broken.add(log);
      failures = worst([failures, reportError(io, error)]);
    },
  );
  printer.flush();
  await io.stdout.drained();
  // With a time, or from now on, there may well be lines before.
  if (moment === null && tail !== 0) {
    for (const log of empty) if (!broken.has(log)) io.say(`${nameIn(log)}: no lines yet`);
  }
  if (!options.follow) return worst([code, opened, failures]);

  cli.onInterrupt = () => printer.flush();
  const end = await cli.each(
    logs.filter((log) => !broken.has(log)),
    (log) => {
      const follower = new LogFollower(io, api, { id: log.instance.id, name: nameIn(log) }, printer, log.last);
      followers.push(follower);
      return follower.run();
    },
  );
  printer.flush();
  return worst([code, opened, failures, end]);
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
