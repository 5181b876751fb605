import type { Command } from "commander";
import { addJson, type Cli, type OutputOptions } from "../cli.ts";
import {
  type Contexts,
  contextNamed,
  contextsPath,
  LOCAL,
  looseMode,
  parseUrl,
  readContexts,
  writeContexts,
} from "../contexts.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { writeJson } from "../io.ts";
import { findLocalDaemons } from "../local-daemons.ts";
import { type Column, layOut } from "../table.ts";

interface Row {
  name: string;
  url: string;
  current: boolean;
  hasKey: boolean;
}

const columns: Column<Row>[] = [
  { title: "", value: ({ current }) => (current ? "*" : "") },
  { title: "NAME", value: ({ name }) => name, shrinkTo: 8 },
  { title: "URL", value: ({ url }) => url, shrinkTo: 12 },
  { title: "KEY", value: ({ hasKey }) => (hasKey ? "yes" : "no") },
];

/** A name that is read as a directory or as this machine could never be asked for. */
const checkName = (name: string): void => {
  if (name === LOCAL) throw usageError(`'${LOCAL}' is the daemon on this machine: it needs no context`);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw usageError(`'${name}' is no name for a context`, "use letters, digits, '.', '_' and '-'");
  }
};

interface Found {
  key: string;
  /** What is said of where it came from. */
  from: string;
}

const askKey = async (cli: Cli, url: string): Promise<Found> => {
  const { SOLAR_HOST_API_KEY } = cli.io.env;
  if (!cli.io.stdin.terminal) {
    return SOLAR_HOST_API_KEY ? { key: SOLAR_HOST_API_KEY, from: ", with the key in SOLAR_HOST_API_KEY" } : noKey;
  }
  const { readSecret } = await import("../prompt.ts");
  const key = await readSecret(cli.io, `Key of ${url} (not shown; empty for none): `);
  if (key === null) throw new CtlError(exitCodes.interrupted, "nothing was changed");
  return key === "" ? noKey : { key, from: "" };
};

const noKey: Found = { key: "", from: ", without a key" };

const addAdd = (context: Command, cli: Cli): void => {
  const add = context
    .command("add")
    .description("name a host, or change what is known of it")
    .argument("<name>")
    .argument("<address>", "for example http://gpu1:8001, which gpu1 alone stands for")
    .option(
      "--key <key>",
      "its key; '-' reads it from stdin; when not given it is asked for on a terminal, and SOLAR_HOST_API_KEY elsewhere",
    )
    .option("--use", "use it from now on");
  add.action(
    cli.action(async (name: string, address: string, options: { use?: true }) => {
      checkName(name);
      const url = parseUrl(address);
      const { key: given } = await cli.targetOptions(add);
      const { key, from } = given === undefined ? await askKey(cli, url) : { key: given, from: "" };
      const contexts = readContexts(cli.io);
      const known = Object.hasOwn(contexts.contexts, name);
      writeContexts(cli.io, {
        current: options.use ? name : contexts.current,
        contexts: { ...contexts.contexts, [name]: { url, key } },
      });
      cli.io.say(`${name} is ${known ? "changed" : "added"}: ${url}${from}`);
      if (!options.use && contexts.current !== name) cli.io.say(`use it: solar-host ctl context use ${name}`);
      return 0;
    }),
  );
};

const list = (cli: Cli, contexts: Contexts, { json, quiet }: OutputOptions): number => {
  const { io } = cli;
  const rows = Object.entries(contexts.contexts).map(([name, { url, key }]): Row => {
    return { name, url, current: name === contexts.current, hasKey: key !== "" };
  });
  if (json)
    writeJson(
      io,
      rows.map(({ name, url, current, hasKey }) => ({ name, url, current, has_key: hasKey })),
    );
  else if (quiet) for (const { name } of rows) io.write(`${name}\n`);
  else {
    const local = findLocalDaemons(io).map(({ directory, url }): Row => {
      return { name: directory, url, current: false, hasKey: true };
    });
    if (rows.length + local.length === 0) io.say("no host is named yet: solar-host ctl context add --help");
    io.write(`${layOut(columns, [...rows, ...local], io.stdout.width(), io.stdout.palette.dim).join("\n")}\n`);
    if (local.length > 0 && contexts.current === null) io.say(`in use: the daemon on this machine`);
  }
  return 0;
};

export const define = (command: Command, cli: Cli): void => {
  addAdd(command, cli);
  command
    .command("use")
    .description("use a host from now on")
    .argument("<name>", `'${LOCAL}' is the daemon on this machine`)
    .action(
      cli.action(async (name: string) => {
        const contexts = readContexts(cli.io);
        if (name !== LOCAL) contextNamed(contexts, name);
        writeContexts(cli.io, { ...contexts, current: name === LOCAL ? null : name });
        cli.io.say(`${name === LOCAL ? "the daemon on this machine" : name} is used from now on`);
        return 0;
      }),
    );
  addJson(
    command.command("ls").description("the hosts that are named, and daemons here"),
    "the named hosts, without keys",
  )
    .option("-q, --quiet", "only names")
    .action(
      cli.action(async (options: OutputOptions) => {
        const warning = looseMode(cli.io);
        if (warning !== null) cli.io.say(warning);
        return list(cli, readContexts(cli.io), options);
      }),
    );
  command
    .command("rm")
    .description("forget hosts")
    .argument("<names...>")
    .action(
      cli.action(async (names: string[]) => {
        const { current, contexts } = readContexts(cli.io);
        for (const name of names) contextNamed({ current, contexts }, name);
        const left = Object.fromEntries(Object.entries(contexts).filter(([name]) => !names.includes(name)));
        writeContexts(cli.io, {
          current: current !== null && names.includes(current) ? null : current,
          contexts: left,
        });
        for (const name of names) cli.io.say(`${name} is forgotten`);
        return 0;
      }),
    );
  command.addHelpText(
    "after",
    `
They are kept, keys too, in ${contextsPath(cli.io)}, which nobody else may read.
On the daemon's own machine none is needed. Others on this machine see a key given with --key: for trying out.

Examples:
  $ solar-host ctl context add gpu1 http://gpu1:8001 --key - --use < key-file
  $ solar-host ctl context use gpu1
  $ solar-host ctl context use local
  $ solar-host ctl context ls
  $ solar-host ctl context rm gpu1`,
  );
};
