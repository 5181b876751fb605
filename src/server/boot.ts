import { accessSync, constants, mkdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { lackRemedies } from "../process/bind-error.ts";
import { LockedError, takeLock } from "../process/lock.ts";
import { askedLogFormat, readEnvFile, type Settings, SettingsError } from "../store/settings.ts";

/** What must be so before a daemon may begin, and what is said where it is not. */

/** A start that cannot go on; `message` is one line for a person. */
export class BootError extends Error {
  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
  ) {
    super(message);
  }
}

/** Descriptors may be lacking wherever the boot opens a file; the system's code stands in the message then. */
export const withRemedy = (message: string): string => {
  const lack = [...lackRemedies].find(([code]) => message.includes(`${code}:`));
  return lack === undefined ? message : `${message}. ${lack[1]}`;
};

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
    throw new BootError(`LOG_DIR: cannot write to '${logDir}': ${(error as Error).message}`);
  }
};

export const lock = (stateDir: string): void => {
  try {
    takeLock(join(stateDir, "lock"), `pid ${process.pid}`);
  } catch (error) {
    if (!(error instanceof LockedError)) throw new BootError(`cannot lock '${stateDir}': ${(error as Error).message}`);
    throw new BootError(`another solar-host (${error.owner}) already serves this directory`);
  }
};

/** The form of log that is asked for, as far as that can be told of settings that may be wrong. */
export const askedFormat = (flags: DaemonFlags): "human" | "json" => {
  let envFile = {};
  try {
    envFile = readEnvFile(resolve(".env"));
  } catch (error) {
    // That it cannot be read is what will be told.
    if (!(error instanceof SettingsError)) throw error;
  }
  return askedLogFormat(flags.settings, process.env, envFile);
};
