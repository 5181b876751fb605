import { closeSync, linkSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { errorCode } from "../common/system-error.ts";
import { CtlError, exitCodes } from "./errors.ts";

/** One change of a file at a time, among several clients: held for a few milliseconds, never while a person is asked. */

const RETRY_MS = 5;
/** Longer than any change takes: its holder is gone, and another process may have its number by now. */
const ABANDONED_MS = 10_000;
const PATIENCE_MS = 20_000;

/** Whether this process holds it now. */
const take = (lock: string): boolean => {
  try {
    const fd = openSync(lock, "wx", 0o600);
    writeSync(fd, String(process.pid));
    closeSync(fd);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw error;
  }
};

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== "ESRCH";
  }
};

/**
 * Takes away what a client left that was killed. It is moved first, so that of several clients one alone has it; one
 * that was taken anew since it was looked at goes back.
 */
const removeAbandoned = (lock: string): void => {
  try {
    const { mtimeMs } = statSync(lock);
    const seen = readFileSync(lock, "utf8");
    const holder = Number(seen);
    const isHeld = holder === 0 || isAlive(holder);
    if (isHeld && Date.now() - mtimeMs < ABANDONED_MS) return;
    const aside = `${lock}.${process.pid}`;
    renameSync(lock, aside);
    if (readFileSync(aside, "utf8") !== seen) linkSync(aside, lock);
    rmSync(aside, { force: true });
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
};

/** Runs `change` while no other client runs one for the same file. */
export const whileLocked = async <T>(path: string, change: () => T): Promise<T> => {
  const lock = `${path}.lock`;
  const latest = performance.now() + PATIENCE_MS;
  while (!take(lock)) {
    removeAbandoned(lock);
    if (performance.now() > latest) {
      throw new CtlError(exitCodes.failure, `another client is changing ${path}`, [
        `if none is, remove ${lock} and try again`,
      ]);
    }
    await Bun.sleep(RETRY_MS);
  }
  try {
    return change();
  } finally {
    rmSync(lock, { force: true });
  }
};
