import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import type { DaemonRecord } from "../contract/daemon-record.ts";
import { contextNamed, LOCAL, parseUrl, readContexts } from "./contexts.ts";
import { type FolderDaemon, folderAround, lookInFolder } from "./daemon-folder.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";
import type { Io } from "./io.ts";
import { daemonAround, findLocalDaemons } from "./local-daemons.ts";

/** Which daemon a command speaks to, and with which key. */

export interface Target {
  url: string;
  key: string;
  /** Name for people: the context's, or the address. */
  name: string;
  /** Where the key came from, for whoever is refused. */
  keyFrom: string;
  /** Of a daemon on this machine that was found by its record: where it runs, whatever its address is today. */
  directory?: string;
  /** Its name, where it is a host that the user has named. */
  context?: string;
  /** What this user may not read of it, which may hold its key. */
  unreadable?: readonly string[];
}

/** What the command line says of the target. */
export interface TargetOptions {
  context?: string | undefined;
  url?: string | undefined;
  /** Already read where it was `-`. */
  key?: string | undefined;
}

const DEFAULT_URL = "http://127.0.0.1:8001";

/** Where the choice is made: contexts and records of daemons are read when they are needed. */
type Place = Pick<Io, "env" | "cwd" | "home">;

type Key = readonly [key: string | null | undefined, from: string];

/** The first key that there is, with where it came from. */
const withKey = (target: Omit<Target, "key" | "keyFrom">, given: string | undefined, ...known: Key[]): Target => {
  const found = [[given, "--key"] as const, ...known].find(([key]) => key !== undefined && key !== null);
  const [key, keyFrom] = found ?? ["", "no key was given"];
  return { ...target, key: key ?? "", keyFrom };
};

const keyOfEnvironment = (env: Io["env"]): Key => [env.SOLAR_HOST_API_KEY, "SOLAR_HOST_API_KEY"];

const ofRecord = ({ url, directory, key }: DaemonRecord, given: string | undefined): Target =>
  withKey({ url, name: directory, directory }, given, [key, "the record of the daemon on this machine"]);

const listed = (daemons: readonly DaemonRecord[]): string[] =>
  daemons.map((daemon) => `${daemon.directory}  ${daemon.url}`);

const owned = ({ directory, owner }: FolderDaemon): string =>
  owner === null ? directory : `${directory}, of the user ${owner}`;

/** What a folder tells of its daemon. @throws CtlError: whose it is and what may not be read */
const ofFolder = (found: FolderDaemon, io: Place, given: string | undefined): Target => {
  const { directory, owner, url, unreadable } = found;
  if (url === null) {
    throw new CtlError(
      exitCodes.unreachable,
      `the daemon in ${owned(found)}, cannot be asked: you may not read ${unreadable.join(" and ")}`,
      [
        ...(owner === null ? [] : [`ask as that user: sudo -u ${owner} solar-host ctl …`]),
        "or give its address and its key: --url http://127.0.0.1:8001 --key -",
      ],
    );
  }
  const target = { url, name: owned(found), directory, unreadable };
  return withKey(target, given, [found.key, "the daemon's .env"], keyOfEnvironment(io.env));
};

const localDaemon = async (io: Place, key: string | undefined): Promise<Target> => {
  const found = await findLocalDaemons(io);
  const own = daemonAround(found, io.cwd);
  const here = await folderAround(io.cwd);
  // What stands nearer is meant; a folder counts before daemons elsewhere where one runs in it, or that is not to be seen.
  const isNearer = here !== null && (own === null || here.directory.length > own.directory.length);
  if (isNearer && (here.url !== null || (here.owner !== null && here.unreadable.length > 0)))
    return ofFolder(here, io, key);
  const only = own ?? (found.length === 1 ? found[0] : undefined);
  if (only !== undefined) return ofRecord(only, key);
  if (found.length > 1) {
    throw usageError(
      "several daemons run on this machine, say which",
      ...listed(found),
      "go into the directory of one, or name it: --context <directory> or --url <address>",
    );
  }
  const fromEnv = keyOfEnvironment(io.env);
  if ((key ?? fromEnv[0]) !== undefined) return withKey({ url: DEFAULT_URL, name: DEFAULT_URL }, key, fromEnv);
  throw new CtlError(exitCodes.unreachable, "no daemon of yours runs on this machine, and no other is named", [
    "start one: solar-host serve",
    "or name one: solar-host ctl context add gpu1 http://gpu1:8001 --key - --use",
    "that of another user is found in its folder, or by --context <folder>",
  ]);
};

/** `--context /srv/models`: the daemon of a directory on this machine. */
const daemonOf = async (io: Place, path: string, key: string | undefined): Promise<Target> => {
  let directory = resolve(io.cwd, path);
  try {
    directory = realpathSync(directory);
  } catch {
    // What is not there has no daemon either, which is said below.
  }
  const found = await findLocalDaemons(io);
  const record = found.find((daemon) => daemon.directory === directory);
  if (record !== undefined) return ofRecord(record, key);
  const told = await lookInFolder(directory);
  if (told !== null && (told.url !== null || told.unreadable.length > 0)) return ofFolder(told, io, key);
  throw new CtlError(exitCodes.unreachable, `no daemon of yours runs in ${directory}`, [
    ...(found.length === 0 ? [] : ["there are:", ...listed(found)]),
    `start it: cd ${directory} && solar-host serve`,
  ]);
};

/** One machine has two names for itself, and a daemon writes into its record the one that it was given. */
const withoutNames = (url: string): string => url.replace(/\/\/localhost(?=[:/]|$)/, "//127.0.0.1");
const isSame = (a: string, b: string): boolean => withoutNames(a) === withoutNames(b);

const ofContext = (io: Place, name: string, given: string | undefined): Target => {
  const { url, key } = contextNamed(readContexts(io), name);
  return withKey({ url, name, context: name }, given, [key, `context '${name}'`]);
};

/** An address alone: its key is the one given, else the one known for that very address. */
const ofUrl = async (io: Place, text: string, options: TargetOptions): Promise<Target> => {
  const url = parseUrl(text);
  const target = { url, name: url };
  const { key: given } = options;
  const fromEnv = keyOfEnvironment(io.env);
  const direct = withKey(target, given, fromEnv);
  if ((given ?? fromEnv[0]) !== undefined) return direct;
  const context = Object.entries(readContexts(io).contexts).find(([, known]) => isSame(known.url, url));
  if (context !== undefined) return { ...ofContext(io, context[0], undefined), url, name: url };
  const record = (await findLocalDaemons(io)).find((daemon) => isSame(daemon.url, url));
  return record === undefined ? direct : { ...target, key: record.key, keyFrom: ofRecord(record, undefined).keyFrom };
};

const isPath = (name: string): boolean => name === "." || name === ".." || name.includes("/");

/** Flags, then the environment, then the context in use, then the daemon on this machine. */
export const chooseTarget = async (options: TargetOptions, io: Place): Promise<Target> => {
  const { context, url, key } = options;
  if (context !== undefined && url !== undefined) throw usageError("--context and --url name two daemons: give one");
  if (url !== undefined) return ofUrl(io, url, options);
  if (context === LOCAL) return localDaemon(io, key);
  if (context !== undefined) return isPath(context) ? daemonOf(io, context, key) : ofContext(io, context, key);
  const fromEnv = io.env.SOLAR_HOST_URL;
  if (fromEnv) return ofUrl(io, fromEnv, options);
  const { current } = readContexts(io);
  return current === null ? localDaemon(io, key) : ofContext(io, current, key);
};

/** Whether the daemon runs on this machine, so that paths mean the same to both. */
export const isHere = async ({ directory, url }: Target, io: Place): Promise<boolean> =>
  directory !== undefined || (await findLocalDaemons(io)).some((daemon) => isSame(daemon.url, url));

/** Where the same daemon is now: one that was found on this machine may have come back on another port. */
export const lookAgain = async (target: Target, io: Place): Promise<Target> => {
  const { directory, name } = target;
  if (directory === undefined) return target;
  const given = target.keyFrom === "--key" ? target.key : undefined;
  const record = (await findLocalDaemons(io)).find((daemon) => daemon.directory === directory);
  if (record !== undefined) return { ...ofRecord(record, given), name };
  const told = await lookInFolder(directory);
  return told === null || told.url === null ? target : ofFolder(told, io, given);
};

/** Every host that is named, and the daemons on this machine that are not among them. */
export const allTargets = async (io: Place): Promise<Target[]> => {
  const named = Object.keys(readContexts(io).contexts).map((name) => ofContext(io, name, undefined));
  const daemons = (await findLocalDaemons(io)).filter((daemon) =>
    named.every((target) => !isSame(target.url, daemon.url)),
  );
  const local = daemons.map((daemon) => ofRecord(daemon, undefined));
  if (local.length === 1 && local[0] !== undefined) local[0].name = LOCAL;
  return [...named, ...local];
};
