import type { Command } from "commander";
import { urlOf } from "../../common/endpoint.ts";
import type { ListedInstance } from "../../contract/instance-facts.ts";
import { Api } from "../api.ts";
import { listInstances } from "../calls.ts";
import { addConnection, addJson, addQuiet, type Cli, type OutputOptions } from "../cli.ts";
import { usageError, worst } from "../errors.ts";
import { type Io, jsonError, type Palette, reportError, writeJson } from "../io.ts";
import { nameOf, shortId } from "../names.ts";
import { paintStatus, reasonOf } from "../status.ts";
import { type Column, layOut, numbers, orDash } from "../table.ts";
import { allTargets, type Target } from "../target.ts";
import { since } from "../time.ts";

/** One host that is silent is not to hold up the others for long. */
const PATIENCE_MS = 3000;

interface Row {
  target: Target;
  instance: ListedInstance;
  name: string;
}

const wholeModel = ({ config }: ListedInstance): string => String(config.model ?? config.model_id ?? "-");

/** The last part of its path or id. */
const modelOf = (instance: ListedInstance): string =>
  wholeModel(instance)
    .split("/")
    .findLast((part) => part !== "") ?? "-";

/** Where its model server is reached: one that listens everywhere is where its daemon is. */
const addressOf = ({ target, instance: { port, config } }: Row): string => {
  if (port === null) return "-";
  const host = String(config.host ?? "");
  const isEverywhere = ["", "0.0.0.0", "::"].includes(host);
  return urlOf({ host: isEverywhere ? new URL(target.url).hostname.replace(/^\[|\]$/g, "") : host, port });
};

const columns = (palette: Palette, now: number, wide: boolean): Column<Row>[] => [
  { title: "NAME", value: ({ instance }) => instance.config.alias, paint: () => palette.bold, shrinkTo: 8 },
  { title: "ID", value: ({ instance }) => (wide ? instance.id : shortId(instance.id)), paint: () => palette.dim },
  {
    title: "STATUS",
    value: ({ instance }) => instance.status,
    paint: ({ instance }) => paintStatus(instance.status, palette),
  },
  { title: "MODEL", value: ({ instance }) => (wide ? wholeModel : modelOf)(instance), shrinkTo: 8 },
  numbers("PORT", ({ instance }) => orDash(instance.port)),
  numbers("UPTIME", ({ instance }) => (instance.status === "running" ? since(instance.started_at, now) : "-"), {
    spare: true,
  }),
  numbers("RESTARTS", ({ instance }) => String(instance.restarts ?? 0), { spare: true }),
  { title: "BACKEND", value: ({ instance }) => instance.config.backend_type, shrinkTo: 8, spare: true },
  { title: "URL", value: addressOf, spare: true },
  { title: "REASON", value: ({ instance }) => reasonOf(instance, now), shrinkTo: 24 },
];

/** What -o wide shows besides, before the reason. */
const wideColumns = (now: number): Column<Row>[] => [
  { title: "DESIRED", value: ({ instance }) => instance.desired },
  numbers("PID", ({ instance }) => orDash(instance.pid)),
  numbers("AGE", ({ instance }) => since(instance.created_at, now)),
];

const print = (io: Io, rows: readonly Row[], withContext: boolean, wide: boolean): void => {
  const now = Date.now();
  const used: Readonly<Record<string, boolean>> = {
    REASON: rows.some(({ instance }) => reasonOf(instance, now) !== ""),
    RESTARTS: wide || rows.some(({ instance }) => (instance.restarts ?? 0) > 0),
  };
  const all = columns(io.stdout.palette, now, wide);
  if (wide) all.splice(-1, 0, ...wideColumns(now));
  if (withContext) all.unshift({ title: "CONTEXT", value: ({ target }) => target.name, shrinkTo: 8 });
  const shown = all.filter(({ title }) => used[title] !== false);
  // Wide is as wide as it takes, on a terminal too.
  const width = wide ? Number.POSITIVE_INFINITY : io.stdout.width();
  io.write(`${layOut(shown, rows, width, io.stdout.palette.dim).join("\n")}\n`);
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

const rowsOf = ({ target, instances }: Asked): Row[] =>
  instances.map((instance) => ({ target, instance, name: nameOf(instance, instances) }));

const forms = ["wide", "json", "name"] as const;

interface LsOptions extends OutputOptions {
  output?: (typeof forms)[number];
  allContexts?: true;
}

/** All hosts at once; one that is dead is told and does not spoil the rest. */
const askEverywhere = async ({ io }: Cli): Promise<Asked[]> => {
  const targets = await allTargets(io);
  if (targets.length > 0) return await Promise.all(targets.map(ask));
  throw usageError(
    "no context is named, and no daemon runs here",
    "solar-host ctl context add gpu1 http://gpu1:8001 --key -",
  );
};

const askOne = async (cli: Cli, command: Command): Promise<Asked> => {
  const api = await cli.connect(command);
  const { value, raw } = await listInstances(api);
  return { target: api.target, instances: value, raw, problem: null };
};

const asDocument = ({ target: { name, url }, raw, problem }: Asked): object =>
  problem === null ? { context: name, url, instances: raw } : { context: name, url, ...jsonError(problem) };

const list = async (cli: Cli, command: Command, options: LsOptions): Promise<number> => {
  const { io } = cli;
  const { allContexts = false, output, quiet } = options;
  const { context, url, key, json } = command.optsWithGlobals();
  if ([json, quiet, output].filter((form) => form !== undefined).length > 1)
    throw usageError("--json, -q and -o each say what is printed: give one of them");
  if (allContexts && [context, url, key].some((given) => given !== undefined))
    throw usageError("--all-contexts goes without --context, --url and --key");
  const asked = allContexts ? await askEverywhere(cli) : [await askOne(cli, command)];
  const rows = asked.flatMap(rowsOf);
  if (json || output === "json") writeJson(io, allContexts ? asked.map(asDocument) : asked[0]?.raw);
  else if (quiet) for (const { instance } of rows) io.write(`${instance.id}\n`);
  else if (output === "name") for (const { name } of rows) io.write(`${name}\n`);
  else {
    if (rows.length === 0 && !allContexts) io.say("there are no instances yet: solar-host ctl create --help");
    print(io, rows, allContexts, output === "wide");
  }
  return worst(asked.map(({ problem }) => (problem === null ? 0 : reportError(io, problem))));
};

export const define = (command: Command, cli: Cli): void => {
  addConnection(addQuiet(addJson(command, "what the API answers: an array")))
    .addOption(
      command
        .createOption("-o, --output <form>", "wide: more columns; name: names alone; json: as --json")
        .choices(forms),
    )
    .option("-a, --all", "every instance: the same, as other tools have it")
    .option("--all-contexts", "of every host that is named, and of this machine")
    .addHelpText(
      "after",
      `
A terminal that is too narrow has no URL, BACKEND, RESTARTS and UPTIME, in this order; -o wide has all.
With --all-contexts, --json gives an array of {context, url, instances} or {context, url, error: {message, code}}.

Examples:
  $ solar-host ctl ls
  $ solar-host ctl ls -o wide
  $ solar-host ctl ls --all-contexts
  $ solar-host ctl ls -q | xargs solar-host ctl restart
  $ solar-host ctl ls --json | jq -r '.[] | select(.status == "failed") | .config.alias'`,
    )
    .action(cli.action((options: LsOptions) => list(cli, command, options)));
};
