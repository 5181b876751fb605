import type { Command } from "commander";
import { z } from "zod";
import { type KeyInfo, keyCreated, keyInfo, scopes } from "../../contract/keys.ts";
import type { Api } from "../api.ts";
import { addConnection, addJson, type Cli, type OutputOptions } from "../cli.ts";
import { CtlError, exitCodes, usageError } from "../errors.ts";
import { writeJson } from "../io.ts";
import { type Column, printTable } from "../table.ts";
import { parseMoment } from "../time.ts";

/** `keys`: further keys of a daemon, each with what it may do. */

const columns: Column<KeyInfo>[] = [
  { title: "NAME", value: ({ name }) => name, shrinkTo: 8 },
  { title: "SCOPES", value: ({ scopes }) => scopes.join(",") },
  { title: "PREFIX", value: ({ prefix }) => `${prefix}…` },
  { title: "LAST USED", value: ({ last_used_at }) => last_used_at ?? "never" },
  { title: "EXPIRES", value: ({ expires_at }) => expires_at ?? "never" },
  { title: "ID", value: ({ id }) => id, shrinkTo: 8 },
];

const listKeys = (api: Api) => api.request("/keys", z.array(keyInfo));

const list = async (cli: Cli, command: Command, options: OutputOptions): Promise<number> => {
  const { value, raw } = await listKeys(await cli.connect(command));
  if (options.json) writeJson(cli.io, raw);
  else if (value.length === 0) cli.io.say("there are no further keys; make one: solar-host ctl keys create NAME");
  else printTable(cli.io, columns, value);
  return exitCodes.ok;
};

interface CreateOptions extends OutputOptions {
  scopes: string;
  expires?: string;
}

const create = async (cli: Cli, command: Command, name: string, options: CreateOptions): Promise<number> => {
  const given = options.scopes.split(",").map((scope) => scope.trim());
  const wrong = given.find((scope) => !scopes.some((known) => known === scope));
  if (wrong !== undefined) throw usageError(`--scopes: there is no scope '${wrong}'`, `choose of ${scopes.join(", ")}`);
  const { expires } = options;
  const expires_at =
    expires === undefined ? null : new Date(parseMoment(expires, "--expires", Date.now(), "on")).toISOString();
  const body = { name, scopes: given, expires_at };
  const api = await cli.connect(command);
  const { value, raw } = await api.request("/keys", keyCreated, { method: "POST", body });
  if (options.json) writeJson(cli.io, raw);
  else {
    cli.io.say(`${value.name}: may ${value.scopes.join(", ")}. This is the key; it is not shown again`);
    cli.io.write(`${value.key}\n`);
  }
  return exitCodes.ok;
};

/** @throws CtlError where the name is of none or of several */
const named = (keys: readonly KeyInfo[], name: string): KeyInfo => {
  const found = keys.filter((key) => key.id === name || key.name === name);
  if (found.length > 1) {
    const which = found.map(({ id, prefix }) => `${id}  ${prefix}…`);
    throw new CtlError(exitCodes.failure, `'${name}' is the name of ${found.length} keys; give the id`, which);
  }
  const [key] = found;
  if (key === undefined) {
    throw new CtlError(exitCodes.notFound, `there is no key '${name}'`, ["see them: solar-host ctl keys ls"]);
  }
  return key;
};

const remove = async (cli: Cli, command: Command, name: string, options: OutputOptions): Promise<number> => {
  const api = await cli.connect(command);
  const key = named((await listKeys(api)).value, name);
  const answer = z.object({ message: z.string() });
  const { raw } = await api.request(`/keys/${encodeURIComponent(key.id)}`, answer, { method: "DELETE" });
  if (options.json) writeJson(cli.io, raw);
  else cli.io.say(`${key.name}: revoked`);
  return exitCodes.ok;
};

export const define = (keys: Command, cli: Cli): void => {
  keys.addHelpText(
    "after",
    `
Scopes: admin may do everything; read is every GET and WebSocket, with the keys of the instances masked; infer is the
use of the models. The daemon's own key, API_KEY, may do everything.

Examples:
  $ solar-host ctl keys create grafana --scopes read
  $ solar-host ctl keys create colleague --scopes admin --expires 30d
  $ solar-host ctl keys rm grafana`,
  );
  const ls = keys.command("ls").description("list them, without the keys themselves");
  addConnection(addJson(ls, "the list")).action(cli.action((options: OutputOptions) => list(cli, ls, options)));
  const make = keys
    .command("create")
    .description("make one and print it, this once")
    .argument("<name>", "what it is for");
  addConnection(addJson(make, "the key with all that is known of it"))
    .requiredOption("--scopes <list>", "what it may do: admin, read, infer; several with commas")
    .option("--expires <when>", "how long it holds (30d, 12h), or until when; for good unless given")
    .action(cli.action((name: string, options: CreateOptions) => create(cli, make, name, options)));
  const rm = keys.command("rm").description("revoke one at once").argument("<name>", "its name or id");
  addConnection(addJson(rm, "the answer")).action(
    cli.action((name: string, options: OutputOptions) => remove(cli, rm, name, options)),
  );
};
