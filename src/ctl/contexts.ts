import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { isMissing, systemProblem } from "../common/system-error.ts";
import { decodeUtf8, EncodingError } from "../common/utf8.ts";
import { xdgFolder } from "../contract/daemon-record.ts";
import { CtlError, exitCodes, usageError } from "./errors.ts";
import { whileLocked } from "./file-lock.ts";
import type { Io } from "./io.ts";

/** The hosts that the user has named: a file that nobody else may read, since it holds their keys. */

const context = z.object({ url: z.string(), key: z.string() });
export type Context = z.output<typeof context>;

const contextsFile = z.object({ current: z.string().nullable(), contexts: z.record(z.string(), context) });
export type Contexts = z.output<typeof contextsFile>;

/** Where a daemon listens unless told otherwise. */
const USUAL_PORT = "8001";

/** The name of the daemon on this machine, which needs no context. */
export const LOCAL = "local";

export const contextsPath = (io: Pick<Io, "env" | "home">): string =>
  `${xdgFolder(io.env.XDG_CONFIG_HOME, `${io.home}/.config`)}/solar-host/contexts.json`;

export const readContexts = (io: Pick<Io, "env" | "home">): Contexts => {
  const path = contextsPath(io);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if (isMissing(error)) return { current: null, contexts: {} };
    throw new CtlError(exitCodes.failure, `cannot read the named hosts: ${systemProblem(error, path)}`);
  }
  try {
    return contextsFile.parse(JSON.parse(decodeUtf8(bytes)));
  } catch (error) {
    const place = error instanceof z.ZodError ? error.issues[0]?.path.map(String).join(".") || "its content" : null;
    const readable = error instanceof EncodingError ? error.message : "it is no JSON";
    const why = place === null ? readable : `${place} is missing or not what it should be`;
    throw new CtlError(exitCodes.failure, `${path} is broken: ${why}`, [
      "mend it, or remove it and name your hosts again with: solar-host ctl context add",
    ]);
  }
};

const writeContexts = (path: string, contexts: Contexts): void => {
  const beside = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(beside, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600, flush: true });
    chmodSync(beside, 0o600);
    renameSync(beside, path);
  } finally {
    rmSync(beside, { force: true });
  }
};

/**
 * Changes what is kept, one client at a time: what another adds meanwhile stays.
 * @param change gets what is kept now
 */
export const changeContexts = async (
  io: Pick<Io, "env" | "home">,
  change: (contexts: Contexts) => Contexts,
): Promise<void> => {
  const path = contextsPath(io);
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    await whileLocked(path, () => writeContexts(path, change(readContexts(io))));
  } catch (error) {
    if (error instanceof CtlError) throw error;
    throw new CtlError(exitCodes.failure, `cannot write the named hosts: ${systemProblem(error, path)}`);
  }
};

/** A warning where others may read the keys; null where all is well. */
export const looseMode = (io: Pick<Io, "env" | "home">): string | null => {
  const path = contextsPath(io);
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  return (mode & 0o077) === 0 ? null : `others may read ${path}, which holds keys: chmod 600 it`;
};

export const contextNamed = (contexts: Contexts, name: string): Context => {
  const found = Object.hasOwn(contexts.contexts, name) ? contexts.contexts[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(contexts.contexts);
  throw new CtlError(exitCodes.notFound, `there is no context '${name}'`, [
    names.length === 0 ? "none is named yet" : `there are: ${names.join(", ")}`,
    `name it: solar-host ctl context add ${name} http://… --key -`,
  ]);
};

/**
 * The address of a daemon as it is kept: with a scheme, without an end slash. A name alone is at the daemon's own port.
 * @throws usage error where it is none
 */
export const parseUrl = (text: string): string => {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const full = hasScheme ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : null;
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw usageError(`'${text}' is no address of a daemon`, "write it as http://gpu1:8001");
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw usageError(
      "the address of a daemon holds no key, user or query",
      "give the key with --key -, or in SOLAR_HOST_API_KEY",
    );
  }
  // Said to be at port 80, it is not at the daemon's.
  if (!hasScheme && !/^(?:\[[^\]]*\]|[^:/]*):\d/.test(text)) url.port = USUAL_PORT;
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
};
