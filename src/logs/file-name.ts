import { constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { errorCode, inWords } from "../common/system-error.ts";

/** Room for the time, a suffix and `.log` in the 255 bytes that file systems allow. */
const MAX_ALIAS_BYTES = 200;

/** The alias as part of a file name: letters, digits, `-`, `_` and inner dots stay, everything else becomes `_`. */
export const safeAlias = (alias: string): string => {
  let safe = alias.replace(/[^\p{L}\p{N}._-]/gu, "_").replace(/^\.+/, (dots) => "_".repeat(dots.length));
  while (Buffer.byteLength(safe) > MAX_ALIAS_BYTES) safe = [...safe].slice(0, -1).join("");
  return safe === "" ? "_" : safe;
};

const makeFolder = (dir: string): void => {
  try {
    mkdirSync(dir, { recursive: true });
  } catch (error) {
    throw inWords(error, dir);
  }
};

/** Makes a log file that no other start has, and opens it for appending. */
export const createLogFile = (dir: string, alias: string, time: Date): { path: string; fd: number } => {
  makeFolder(dir);
  const base = `${safeAlias(alias)}_${Math.floor(time.getTime() / 1000)}`;
  for (let n = 0; ; n++) {
    const path = join(dir, n === 0 ? `${base}.log` : `${base}_${n}.log`);
    try {
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_APPEND | constants.O_WRONLY;
      return { path, fd: openSync(path, flags, 0o600) };
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw inWords(error, path);
    }
  }
};
