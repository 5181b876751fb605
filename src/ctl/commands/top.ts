import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { runtimeState } from "../../contract/runtime-state.ts";
import { memory } from "../../contract/system.ts";
import type { Api } from "../api.ts";
import { instancePath, listInstances } from "../calls.ts";
import { addConnection, addJson, type Cli } from "../cli.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { Screen } from "../screen.ts";
import { fit } from "../table.ts";
import { parseDuration } from "../time.ts";
import { type Snapshot, topLines, topTable } from "../top-table.ts";
import { firstView, pageOf, press, windowed } from "../top-view.ts";

interface TopOptions {
  json?: true;
  once?: true;
  interval: string;
  iterations?: string;
}

interface Look {
  snapshot: Snapshot;
  raw: unknown;
}

const SHORTEST_MS = 100;
const USUAL_ROWS = 24;

/** One that ended in between has no state; all else is an error. */
const readState = async (api: Api, instance: ListedInstance) => {
  try {
    return await api.request(instancePath(instance.id, "/state"), runtimeState);
  } catch (error) {
    if (error instanceof CtlError && error.exitCode === exitCodes.notFound) return null;
    throw error;
  }
};

const look = async (api: Api): Promise<Look> => {
  const [listed, used] = await Promise.all([listInstances(api), api.request("/memory", memory)]);
  const states = await Promise.all(
    listed.value.map(async (instance) => ({
      id: instance.id,
      answer: instance.status === "running" ? await readState(api, instance) : null,
    })),
  );
  const time = Date.now();
  const rows = Array.isArray(listed.raw) ? listed.raw : [];
  return {
    snapshot: {
      time,
      where: api.where,
      instances: listed.value,
      states: new Map(states.flatMap(({ id, answer }) => (answer === null ? [] : [[id, answer.value] as const]))),
      memory: used.value,
      problem: null,
    },
    raw: {
      timestamp: new Date(time).toISOString(),
      memory: used.raw,
      instances: rows.map((instance: unknown, at) => ({ instance, state: states[at]?.answer?.raw ?? null })),
    },
  };
};

const countOf = ({ iterations, json, once }: TopOptions, live: boolean): number => {
  if (once) {
    if (iterations !== undefined) throw usageError("give --once or --iterations, not both");
    return 1;
  }
  if (iterations === undefined) return live || json ? Number.POSITIVE_INFINITY : 1;
  if (!/^[1-9]\d*$/.test(iterations)) throw usageError(`--iterations '${iterations}' is no number of times`);
  return Number(iterations);
};

/** A table, or a line of JSON, each time. */
const printEach = async (cli: Cli, api: Api, options: TopOptions, interval: number, count: number): Promise<number> => {
  const { io } = cli;
  for (let done = 0; done < count; done++) {
    if (done > 0) await Bun.sleep(interval);
    const { snapshot, raw } = await look(api);
    if (options.json) io.write(`${JSON.stringify(raw)}\n`);
    else io.write(`${topLines(snapshot, io.stdout.palette, io.stdout.width()).join("\n")}\n`);
    await io.stdout.drained();
  }
  return exitCodes.ok;
};

/** Drawn in place until somebody ends it. A daemon that is away for a while is waited for. */
const live = async (cli: Cli, api: Api, interval: number, count: number): Promise<number> => {
  const { io } = cli;
  let { snapshot } = await look(api);
  const { promise: ended, resolve: end } = Promise.withResolvers<number>();
  let view = firstView;
  const height = (): number => process.stdout.rows || USUAL_ROWS;
  const table = () => topTable(snapshot, io.stdout.palette, io.stdout.width(), view);
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
  const refresh = async (): Promise<void> => {
    try {
      snapshot = (await look(api)).snapshot;
    } catch (error) {
      if (!(error instanceof CtlError) || error.exitCode !== exitCodes.unreachable) throw error;
      snapshot = { ...snapshot, problem: `trying again: ${error.message}` };
      // One on this machine may come back on another port.
      await api.retarget();
    }
    draw();
  };
  const loop = async (): Promise<number> => {
    for (let done = 1; done < count; done++) {
      const code = await Promise.race([ended, Bun.sleep(interval).then(() => null)]);
      if (code !== null) return code;
      await refresh();
    }
    return exitCodes.ok;
  };
  cli.onInterrupt = () => screen.leave();
  screen.enter();
  try {
    draw();
    return await Promise.race([ended, loop()]);
  } finally {
    screen.leave();
  }
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addJson(command, "a line of JSON each time: {timestamp, memory, instances: [{instance, state}]}"))
    .option("--interval <time>", "between two looks", "1s")
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
        const api = await cli.connect(command);
        return isLive ? await live(cli, api, interval, count) : await printEach(cli, api, options, interval, count);
      }),
    );
};
