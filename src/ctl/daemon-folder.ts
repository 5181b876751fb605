import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseDotenv } from "../common/dotenv.ts";
import { errorCode } from "../common/system-error.ts";
import { FOLDER_RECORD, type FolderRecord, folderRecord, STATE_FOLDER } from "../contract/folder-record.ts";
import { isRunning } from "./local-daemons.ts";

/** A daemon as its folder tells of it: for clients that have no record of it, being another user's, root's say. */

export interface FolderDaemon {
  directory: string;
  /** Name of the user whose daemon it is; null where that is the user of this client. */
  owner: string | null;
  /** Null where no daemon runs there, or what it says of itself cannot be read. */
  url: string | null;
  /** Null where none is set in its `.env`, or that cannot be read. */
  key: string | null;
  /** What this user may not read. */
  unreadable: string[];
}

const nameOfUser = (uid: number): string => {
  const done = Bun.spawnSync(["id", "-un", String(uid)], { stdin: "ignore", stderr: "ignore" });
  const name = done.stdout.toString().trim();
  return name === "" ? `uid ${uid}` : name;
};

/** The text of a file; null where there is none, or none that ends: a named pipe. What may not be read is put down. */
const readIfAllowed = (path: string, unreadable: string[]): string | null => {
  try {
    if (!statSync(path).isFile()) return null;
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "EACCES" || errorCode(error) === "EPERM") unreadable.push(path);
    return null;
  }
};

const parseRecord = (text: string): FolderRecord | null => {
  try {
    return folderRecord.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
};

/** Names of settings are the same in capital and small letters; of two, the last counts, as it does for the daemon. */
const settingIn = (text: string, name: string): string | null => {
  const { values } = parseDotenv(text, process.env);
  const found = [...values].findLast(([known, value]) => value !== null && known.toUpperCase() === name);
  return found?.[1] ?? null;
};

/** Null where the folder is no daemon's. */
export const lookInFolder = async (directory: string): Promise<FolderDaemon | null> => {
  const state = join(directory, STATE_FOLDER);
  const unreadable: string[] = [];
  let uid: number | undefined;
  try {
    const stat = statSync(state);
    if (!stat.isDirectory()) return null;
    uid = stat.uid;
  } catch (error) {
    if (errorCode(error) !== "EACCES") return null;
    unreadable.push(directory);
    uid = statSync(directory, { throwIfNoEntry: false })?.uid;
  }
  const owner = uid === undefined || uid === process.getuid?.() ? null : nameOfUser(uid);
  if (unreadable.length > 0) return { directory, owner, url: null, key: null, unreadable };
  const recordText = readIfAllowed(join(state, FOLDER_RECORD), unreadable);
  const record = recordText === null ? null : parseRecord(recordText);
  const settings = readIfAllowed(record?.env_file ?? join(directory, ".env"), unreadable);
  const url = record !== null && (await isRunning(record)) ? record.url : null;
  return { directory, owner, url, key: settings === null ? null : settingIn(settings, "API_KEY"), unreadable };
};

/** The daemon's folder in which `path` is: the nearest one above. */
export const folderAround = async (path: string): Promise<FolderDaemon | null> => {
  for (let directory = path; ; directory = dirname(directory)) {
    const found = await lookInFolder(directory);
    if (found !== null) return found;
    if (directory === dirname(directory)) return null;
  }
};
