import type { Command } from "commander";
import { Api } from "../api.ts";
import { listInstances } from "../calls.ts";
import { addJson, type Cli, type OutputOptions } from "../cli.ts";
import {
  type Contexts,
  changeContexts,
  contextNamed,
  contextsPath,
  LOCAL,
  looseMode,
  parseUrl,
  readContexts,
} from "../contexts.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { writeJson } from "../io.ts";
import { findLocalDaemons } from "../local-daemons.ts";
import { askSecret } from "../prompt.ts";
import { type Column, printTable } from "../table.ts";
import type { Target } from "../target.ts";

/** A person waits for it. */
const TRY_MS = 5000;

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

/** A key, and what is said of where it came from. */
interface Found {
  key: string;
  from: string;
}

interface AddOptions {
  use?: true;
  force?: true;
}

/** The key of a host where none is given: what is typed, else the one that is kept already, else the environment's. */
const askKey = async (cli: Cli, url: string, kept: string): Promise<Found> => {
  const { SOLAR_HOST_API_KEY } = cli.io.env;
  const otherwise = kept === "" ? { key: "", from: ", without a key" } : { key: kept, from: ", with the key it had" };
  if (!cli.io.stdin.terminal) {
    if (kept !== "" || !SOLAR_HOST_API_KEY) return otherwise;
    return { key: SOLAR_HOST_API_KEY, from: ", with the key in SOLAR_HOST_API_KEY" };
  }
  const empty = kept === "" ? "empty for none" : "empty keeps the one it has";
  const key = await askSecret(cli.io, `Key of ${url} (not shown; ${empty}): `);
  return key === "" ? otherwise : { key, from: "" };
};

/** Tries a key. @throws CtlError where the daemon refuses it; where none answers, that is said alone */
const tryKey = async (cli: Cli, target: Target, isKnown: boolean): Promise<void> => {
  try {
    await listInstances(new Api(target), { timeoutMs: TRY_MS });
  } catch (error) {
    if (!(error instanceof CtlError)) throw error;
    if (error.exitCode !== exitCodes.refusedKey) {
      cli.io.say(`${cli.io.stderr.palette.yellow("warning:")} the key could not be tried: ${error.message}`);
      return;
    }
    const what = target.key === "" ? `${target.url} asks for a key` : `${target.url} refused the key`;
    throw new CtlError(exitCodes.refusedKey, `${what}; ${target.name} is ${isKnown ? "left as it was" : "not added"}`, [
      "the daemon's key is API_KEY in the .env of its directory",
      "keep it all the same: --force",
    ]);
  }
};

const addAdd = (context: Command, cli: Cli): void => {
  const add = context
    .command("add")
    .description("name a host, or change what is known of it")
    .argument("<name>")
    .argument("<address>", "for example http://gpu1:8001, which gpu1 alone stands for")
    .option(
      "--key <key>",
      "its key; '-' asks for it on a terminal and reads stdin elsewhere; '' is none. When not given: the one that is kept already, else SOLAR_HOST_API_KEY",
    )
    .option("--use", "use it from now on")
    .option("--force", "keep a key that the daemon refuses");
  add.action(
    cli.action(async (name: string, address: string, options: AddOptions) => {
      checkName(name);
      const url = parseUrl(address);
      const { key: given } = await cli.targetOptions(add);
      const before = readContexts(cli.io).contexts;
      let isKnown = Object.hasOwn(before, name);
      const kept = isKnown ? (before[name]?.key ?? "") : "";
      const { key, from } = given === undefined ? await askKey(cli, url, kept) : { key: given, from: "" };
      if (!options.force) await tryKey(cli, { url, key, name, keyFrom: "the command line" }, isKnown);
      let isUsed = false;
      await changeContexts(cli.io, ({ current, contexts }) => {
        isKnown = Object.hasOwn(contexts, name);
        isUsed = options.use === true || current === name;
        return { current: options.use ? name : current, contexts: { ...contexts, [name]: { url, key } } };
      });
      cli.io.say(`${name} is ${isKnown ? "changed" : "added"}: ${url}${from}`);
      if (!isUsed) cli.io.say(`use it: solar-host ctl context use ${name}`);
      return 0;
    }),
  );
};

const rowsOf = async (cli: Cli, { current, contexts }: Contexts): Promise<{ named: Row[]; local: Row[] }> => {
  const named = Object.entries(contexts).map(([name, { url, key }]): Row => {
    return { name, url, current: name === current, hasKey: key !== "" };
  });
  const daemons = await findLocalDaemons(cli.io);
  const local = daemons.map(({ directory, url }): Row => {
    return { name: directory, url, current: current === null && daemons.length === 1, hasKey: true };
  });
  return { named, local };
};

const asJson = ({ name, url, current, hasKey }: Row) => ({ name, url, current, has_key: hasKey });

const list = async (cli: Cli, contexts: Contexts, { json, quiet }: OutputOptions): Promise<number> => {
  const { io } = cli;
  const { named, local } = await rowsOf(cli, contexts);
  if (json) writeJson(io, [...named.map(asJson), ...local.map((row) => ({ ...asJson(row), local: true }))]);
  else if (quiet) for (const { name } of named) io.write(`${name}\n`);
  else {
    if (named.length + local.length === 0) io.say("no host is named yet: solar-host ctl context add --help");
    printTable(io, columns, [...named, ...local]);
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
        await changeContexts(cli.io, (contexts) => {
          if (name !== LOCAL) contextNamed(contexts, name);
          return { ...contexts, current: name === LOCAL ? null : name };
        });
        cli.io.say(`${name === LOCAL ? "the daemon on this machine" : name} is used from now on`);
        return 0;
      }),
    );
  addJson(
    command.command("ls").description("the hosts that are named, and daemons here"),
    "the named hosts and the daemons here (local: true), without keys",
  )
    .option("-q, --quiet", "only the names of hosts that are named")
    .action(
      cli.action(async (options: OutputOptions) => {
        const warning = looseMode(cli.io);
        if (warning !== null) cli.io.say(warning);
        return await list(cli, readContexts(cli.io), options);
      }),
    );
  command
    .command("rm")
    .description("forget hosts")
    .argument("<names...>")
    .action(
      cli.action(async (names: string[]) => {
        await changeContexts(cli.io, ({ current, contexts }) => {
          for (const name of names) contextNamed({ current, contexts }, name);
          const left = Object.fromEntries(Object.entries(contexts).filter(([name]) => !names.includes(name)));
          return { current: current !== null && names.includes(current) ? null : current, contexts: left };
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
  $ solar-host ctl context add gpu1 http://gpu1:8001 --use
  $ solar-host ctl context add gpu1 http://gpu1:8001 --key - --use < key-file
  $ solar-host ctl context use gpu1
  $ solar-host ctl context use local
  $ solar-host ctl context ls
  $ solar-host ctl context rm gpu1`,
  );
};
