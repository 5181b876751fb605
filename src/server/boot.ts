import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { systemProblem } from "../common/system-error.ts";
import type { LogSettings } from "../logs/log-settings.ts";
import { LockedError, takeFileLock, takeLock } from "../process/lock.ts";
import { whyNotWritable } from "../store/savable.ts";
import { askedLogFormat, readEnvFile, type Settings, SettingsError } from "../store/settings.ts";

/** The checks before a daemon may begin, and their messages. */

/** A start that cannot go on; `message` is one line for a person. */
export class BootError extends Error {
  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
  ) {
    super(message);
  }
}

export interface DaemonFlags {
  /** By name of the setting, as given on the command line. */
  settings: Record<string, string>;
  apiKeyFile: string | null;
  /** The folder to serve; null is the present one. */
  dir: string | null;
}

export const checkConfigFolder = (settings: Settings): void => {
  const configDir = dirname(resolve(settings.CONFIG_FILE));
  if (!statSync(configDir, { throwIfNoEntry: false })?.isDirectory()) {
    throw new BootError(`CONFIG_FILE: no such directory: '${configDir}'`);
  }
};

/** Makes the folder of the logs where there is none. */
export const checkLogFolder = (settings: Settings): void => {
  const logDir = resolve(settings.LOG_DIR);
  try {
    mkdirSync(logDir, { recursive: true });
    accessSync(logDir, constants.W_OK);
  } catch (error) {
    throw new BootError(`LOG_DIR: no log can be written there: ${systemProblem(error, logDir)}`);
  }
};

/**
 * Held until this process has gone.
 * @param target the file that is written: links of several folders may lead to one, whose own folder may have a daemon too
 */
export const lock = (stateDir: string, target: string): void => {
  const description = `pid ${process.pid}`;
  const served = (owner: string): string => `another solar-host (${owner}) already serves this directory`;
  const written = (owner: string): string => `another solar-host (${owner}) already writes '${target}'`;
  const fileLock = join(dirname(target), ".solar-host", `${basename(target)}.lock`);
  orRefuse(stateDir, served, () => takeLock(join(stateDir, "lock"), description));
  orRefuse(fileLock, written, () => takeFileLock(fileLock, description));
};

const orRefuse = (path: string, held: (owner: string) => string, take: () => void): void => {
  try {
    take();
  } catch (error) {
    if (!(error instanceof LockedError)) throw new BootError(`cannot lock the folder: ${systemProblem(error, path)}`);
    throw new BootError(held(error.owner));
  }
};

/** What the folders that a start writes to keep it from, as where a daemon was once run by root; none: nothing. */
export const folderProblems = (
  stateDir: string,
  { dir, indexDir }: Pick<LogSettings, "dir" | "indexDir">,
): string[] => {
  const noStart = "no instance can be started";
  const folders = [
    [join(stateDir, "instances"), noStart],
    [indexDir, noStart],
    [dir, noStart],
    [join(stateDir, "states"), "what an instance did is not kept for the next daemon"],
  ] as const;
  return folders.flatMap(([folder, outcome]) => {
    const problem = whyNotWritable(folder);
    return problem === null ? [] : [`${outcome}: ${problem}`];
  });
};

/**
 * A folder may be moved, or another put in its place, under its daemon. The daemon would then write into another
 * daemon's folder.
 * @returns throws where the folder at `path` is no longer the one of this call
 */
export const samePlace = (path: string): (() => void) => {
  const placeOf = (): string => {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? "" : `${stat.dev}:${stat.ino}`;
  };
  const before = placeOf();
  return () => {
    if (placeOf() === before) return;
    throw new Error(
      `'${path}' was moved or replaced since the start: start the daemon again where its folder lies now`,
    );
  };
};

/** The form of log that is asked for, as far as that can be told of settings that may be wrong. */
export const askedFormat = (flags: DaemonFlags): "human" | "json" => {
  let envFile = {};
  try {
    envFile = readEnvFile(resolve(".env"));
  } catch (error) {
    // The boot will report that it cannot be read.
    if (!(error instanceof SettingsError)) throw error;
  }
  return askedLogFormat(flags.settings, process.env, envFile);
};
