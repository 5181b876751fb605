import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import type { Answer } from "../api.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { exitCodes, usageError } from "../errors.ts";
import { Screen } from "../screen.ts";
import { fit } from "../table.ts";
import { parseDuration } from "../time.ts";
import { type Snapshot, topLines, topTable } from "../top-table.ts";
import { firstView, pageOf, press, windowed } from "../top-view.ts";
import { Watched } from "../watched.ts";

interface TopOptions {
  json?: true;
  once?: true;
  interval: string;
  iterations?: string;
}

const SHORTEST_MS = 100;
const USUAL_ROWS = 24;

/** One that does not run does nothing. */
const stateOf = ({ states }: Watched, { value: { id, status } }: Answer<ListedInstance>) =>
  status === "running" ? (states.get(id) ?? null) : null;

const snapshotOf = (watched: Watched): Snapshot => {
  const listed = [...watched.instances.values()];
  return {
    time: Date.now(),
    where: watched.api.where,
    instances: listed.map(({ value }) => value),
    states: new Map(listed.map((one) => [one.value.id, stateOf(watched, one)?.value])),
    memory: watched.memory.value,
    problem: watched.problem,
  };
};

const jsonOf = (watched: Watched): object => ({
  timestamp: new Date().toISOString(),
  memory: watched.memory.raw,
  instances: [...watched.instances.values()].map((one) => ({
    instance: one.raw,
    state: stateOf(watched, one)?.raw ?? null,
  })),
});

const countOf = ({ iterations, json, once }: TopOptions, live: boolean): number => {
  if (once) {
    if (iterations !== undefined) throw usageError("give --once or --iterations, not both");
    return 1;
  }
  if (iterations === undefined) return live || json ? Number.POSITIVE_INFINITY : 1;
  if (!/^[1-9]\d*$/.test(iterations)) throw usageError(`--iterations '${iterations}' is no number of times`);
  return Number(iterations);
};

/** A table, or a line of JSON, each time; none while the daemon is away. */
const printEach = async ({ io }: Cli, watched: Watched, json: boolean, interval: number, count: number) => {
  for (let done = 0; done < count; ) {
    if (done > 0 || watched.problem !== null) await Promise.race([watched.ended, Bun.sleep(interval)]);
    if (watched.problem !== null) continue;
    if (json) io.write(`${JSON.stringify(jsonOf(watched))}\n`);
    else io.write(`${topLines(snapshotOf(watched), io.stdout.palette, io.stdout.width()).join("\n")}\n`);
    await io.stdout.drained();
    done += 1;
  }
  return exitCodes.ok;
};

/** Drawn in place until somebody ends it. A daemon that is away for a while is waited for. */
const live = async (cli: Cli, watched: Watched, interval: number, count: number): Promise<number> => {
  const { io } = cli;
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  let view = firstView;
  const height = (): number => process.stdout.rows || USUAL_ROWS;
  const table = () => topTable(snapshotOf(watched), io.stdout.palette, io.stdout.width(), view);
  const draw = (): void => {
    const { lines, footer } = windowed(table(), view, height());
    screen.draw([...lines, io.stdout.palette.dim(fit(footer, io.stdout.width()))]);
  };
  const take = (key: string): void => {
    const { head, rows } = table();
    view = press(view, key, pageOf(Math.min(head.length, Math.max(0, height() - 3)), height()), rows.length);
    draw();
  };
  const screen = new Screen(io, {
    key: (key) => {
      if (!view.typing && (key === "q" || key === "Q")) end(exitCodes.ok);
      else take(key);
    },
    interrupted: end,
    resized: () => draw(),
  });
  const loop = async (): Promise<number> => {
    for (let done = 1; done < count; done++) {
      const code = await Promise.race([ended, Bun.sleep(interval).then(() => null)]);
      if (code !== null) return code;
      draw();
    }
    return exitCodes.ok;
  };
  cli.onInterrupt = () => screen.leave();
  screen.enter();
  try {
    draw();
    return await Promise.race([ended, watched.ended, loop()]);
  } finally {
    screen.leave();
  }
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addJson(command, "a line of JSON each time: {timestamp, memory, instances: [{instance, state}]}"))
    .option("--interval <time>", "between two tables", "1s")
    .option("--once", "one table, below what is on the terminal, or one line of JSON")
    .option("-n, --iterations <times>", "end after so many; without end on a terminal, once elsewhere")
    .addHelpText(
      "after",
      `
On a terminal it redraws in place until q or Ctrl-C; elsewhere it prints the table once. Busy ones stand first.
Arrows, j, k, PgUp, PgDn, Home and End scroll; b, n, s, t and u sort by what is busy, name, status, tokens a
second and uptime, r reverses that; / filters by name, and Escape ends the filter.

Examples:
  $ solar-host ctl top
  $ solar-host ctl top --interval 250ms --context gpu1
  $ solar-host ctl top --once
  $ solar-host ctl top --once --json | jq '.memory.percent'`,
    )
    .action(
      cli.action(async (options: TopOptions) => {
        const interval = Math.max(SHORTEST_MS, parseDuration(options.interval, "--interval"));
        const isLive = cli.io.stdout.terminal && !options.json && !options.once;
        const count = countOf(options, isLive);
        cli.isStream = !options.once;
        const watched = await Watched.open(await cli.connect(command));
        return isLive
          ? await live(cli, watched, interval, count)
          : await printEach(cli, watched, options.json === true, interval, count);
      }),
    );
};
