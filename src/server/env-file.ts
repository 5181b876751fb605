import { chmodSync, existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { FOLDER_RECORD, folderRecord, STATE_FOLDER } from "../contract/folder-record.ts";
import { expandHome } from "../store/home.ts";
import { isSettingName } from "../store/settings.ts";
import { BootError } from "./boot.ts";

/**
 * Whose `.env` it is. The folder may be that of another program, whose `.env` has a PORT and an API_KEY too. It is
 * ours where the folder was served before, or where it names nothing but our settings. Another
 * program's is read, since unknown names may stand in it, and never changed.
 */

export interface EnvFile {
  path: string;
  values: Readonly<Record<string, string>>;
  isOurs: boolean;
}

/** The `.env` that the last daemon of a folder read; null where that is not known. */
const envFileOf = (folder: string): string | null => {
  try {
    const text = readFileSync(join(folder, STATE_FOLDER, FOLDER_RECORD), "utf8");
    return folderRecord.safeParse(JSON.parse(text)).data?.env_file ?? null;
  } catch {
    return null;
  }
};

/**
 * Whether a daemon was served from the folder of `.env`. Where CONFIG_FILE lies elsewhere, what is there tells of daemons
 * of other folders too. So does a `.solar-host` that holds the lock of a file alone, left for those who write it by a link.
 */
const wasServed = (path: string, configPath: string): boolean => {
  const folder = dirname(configPath);
  if (folder !== dirname(path)) return envFileOf(folder) === path;
  return existsSync(configPath) || existsSync(join(folder, STATE_FOLDER, "lock"));
};

/** @param configPath CONFIG_FILE, in the folder where the daemon keeps its state */
export const judgeEnvFile = (path: string, values: EnvFile["values"], configPath: string): EnvFile => {
  const served = wasServed(path, configPath);
  return { path, values, isOurs: served || Object.keys(values).every(isSettingName) };
};

const named = ({ values }: EnvFile, ours: boolean): string =>
  Object.keys(values)
    .filter((name) => isSettingName(name) === ours)
    .slice(0, 3)
    .join(", ");

/** @throws BootError where the first key would have to be written into another program's file */
export const refuseForeign = (file: EnvFile): void => {
  if (file.isOurs) return;
  throw new BootError(
    `no API_KEY was set, and ${file.path} seems to be another program's (it names ${named(file, false)}), so that none is written there. Serve a folder of its own with --dir, or set API_KEY in the environment, or name a file that holds it with --api-key-file.`,
    2,
  );
};

/** One that holds the key is its owner's alone to read. */
const protect = ({ path, isOurs }: EnvFile): string | null => {
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) === 0) return null;
  const seen = `${path} holds the API key, and others could read it (mode ${mode.toString(8)})`;
  if (!isOurs) return `${seen}: it seems to be another program's and is left as it is`;
  try {
    chmodSync(path, 0o600);
    return `${seen}: its mode is 600 now`;
  } catch {
    return `${seen}: its mode could not be changed`;
  }
};

/** Makes the file private where it holds the key; gives what its owner should know. */
export const settleEnvFile = (file: EnvFile): string[] => {
  const said: string[] = [];
  const taken = named(file, true);
  if (!file.isOurs && taken !== "") {
    said.push(
      `${file.path} is read for ${taken}, though it seems to be another program's: it names ${named(file, false)} too`,
    );
  }
  const holdsKey = Object.entries(file.values).some(
    ([name, value]) => name.toUpperCase() === "API_KEY" && value !== "",
  );
  const problem = holdsKey ? protect(file) : null;
  return problem === null ? said : [...said, problem];
};

/** Makes `dir` the folder to serve, as `make -C` does: relative paths of other flags begin there. */
export const enterFolder = (dir: string): void => {
  try {
    process.chdir(expandHome(dir, process.env));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === "ENOENT" ? "no such directory" : code === "ENOTDIR" ? "not a directory" : "it cannot be entered";
    throw new BootError(`--dir: ${why}: '${dir}'`, 2);
  }
  // What it starts would take the old one for its folder.
  process.env.PWD = process.cwd();
};
