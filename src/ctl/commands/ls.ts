import type { Command } from "commander";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { Api } from "../api.ts";
import { listInstances } from "../calls.ts";
import { addConnection, addJson, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { reasonOf } from "../crashes.ts";
import { usageError, worst } from "../errors.ts";
import { type Io, type Palette, reportError, writeJson } from "../io.ts";
import { shortId } from "../names.ts";
import { paintStatus } from "../status.ts";
import { type Column, layOut } from "../table.ts";
import { allTargets, type Target, targetSources } from "../target.ts";
import { since } from "../time.ts";

/** One host that is silent is not to hold up the others for long. */
const PATIENCE_MS = 3000;

interface Row {
  context: string;
  instance: ListedInstance;
}

/** The last part of its path or id. */
const modelOf = ({ config }: ListedInstance): string => {
  const model = config.model ?? config.model_id;
  return typeof model === "string" ? (model.split("/").findLast((part) => part !== "") ?? model) : "-";
};

const columns = (palette: Palette, now: number): Column<Row>[] => [
  { title: "NAME", value: ({ instance }) => instance.config.alias, paint: () => palette.bold, shrinkTo: 8 },
  { title: "ID", value: ({ instance }) => shortId(instance.id), paint: () => palette.dim },
  {
    title: "STATUS",
    value: ({ instance }) => instance.status,
    paint: ({ instance }) => paintStatus(instance.status, palette),
  },
  { title: "MODEL", value: ({ instance }) => modelOf(instance), shrinkTo: 8 },
  { title: "PORT", value: ({ instance }) => String(instance.port ?? "-"), align: "right" },
  {
    title: "UPTIME",
    value: ({ instance }) => (instance.status === "running" ? since(instance.started_at, now) : "-"),
    align: "right",
  },
  { title: "BACKEND", value: ({ instance }) => instance.config.backend_type, shrinkTo: 8 },
  { title: "RESTARTS", value: ({ instance }) => String(instance.restarts ?? 0), align: "right" },
  { title: "REASON", value: ({ instance }) => reasonOf(instance, now), shrinkTo: 10 },
];

const print = (io: Io, rows: readonly Row[], withContext: boolean): void => {
  const { palette } = io.stdout;
  const now = Date.now();
  const used: Readonly<Record<string, boolean>> = {
    REASON: rows.some(({ instance }) => reasonOf(instance, now) !== ""),
    RESTARTS: rows.some(({ instance }) => (instance.restarts ?? 0) > 0),
  };
  const shown = columns(palette, now).filter(({ title }) => used[title] !== false);
  if (withContext) shown.unshift({ title: "CONTEXT", value: ({ context }) => context, shrinkTo: 8 });
  io.write(`${layOut(shown, rows, io.stdout.width(), palette.dim).join("\n")}\n`);
};

interface Asked {
  target: Target;
  instances: ListedInstance[];
  raw: unknown;
  problem: unknown;
}

const ask = async (target: Target): Promise<Asked> => {
  try {
    const { value, raw } = await listInstances(new Api(target), { timeoutMs: PATIENCE_MS });
    return { target, instances: value, raw, problem: null };
  } catch (problem) {
    return { target, instances: [], raw: null, problem };
  }
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** All hosts at once; one that is dead is told and does not spoil the rest. */
const listEverywhere = async ({ io }: Cli, { json, quiet }: OutputOptions): Promise<number> => {
  const targets = allTargets(targetSources(io));
  if (targets.length === 0) {
    throw usageError(
      "no context is named, and no daemon runs here",
      "solar-host ctl context add gpu1 http://gpu1:8001 --key -",
    );
  }
  const answers = await Promise.all(targets.map(ask));
  const rows = answers.flatMap(({ target, instances }) =>
    instances.map((instance) => ({ context: target.name, instance })),
  );
  if (json) {
    writeJson(
      io,
      answers.map(({ target: { name, url }, raw, problem }) =>
        problem === null ? { context: name, url, instances: raw } : { context: name, url, error: messageOf(problem) },
      ),
    );
  } else if (quiet) for (const { instance } of rows) io.write(`${instance.id}\n`);
  else print(io, rows, true);
  return worst(answers.map(({ problem }) => (problem === null ? 0 : reportError(io, problem))));
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(command, "what the API answers: an array")))
    .option("-a, --all", "every instance: the same, as other tools have it")
    .option("--all-contexts", "of every host that is named, and of this machine")
    .addHelpText(
      "after",
      `
With --all-contexts, --json gives an array of {context, url, instances} or {context, url, error}.

Examples:
  $ solar-host ctl ls
  $ solar-host ctl ls --all-contexts
  $ solar-host ctl ls -q | xargs solar-host ctl restart
  $ solar-host ctl ls --json | jq -r '.[] | select(.status == "failed") | .config.alias'`,
    )
    .action(
      cli.action(async (options: OutputOptions & { allContexts?: true }) => {
        const { io } = cli;
        if (options.allContexts) {
          const { context, url, key } = command.optsWithGlobals();
          if (context !== undefined || url !== undefined || key !== undefined)
            throw usageError("--all-contexts goes without --context, --url and --key");
          return await listEverywhere(cli, options);
        }
        const { value, raw } = await listInstances(await cli.connect(command));
        if (options.json) writeJson(io, raw);
        else if (options.quiet) for (const { id } of value) io.write(`${id}\n`);
        else {
          if (value.length === 0) io.say("there are no instances yet: solar-host ctl create --help");
          print(
            io,
            value.map((instance) => ({ context: "", instance })),
            false,
          );
        }
        return 0;
      }),
    );
};
