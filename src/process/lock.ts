import { FFIType } from "bun:ffi";
import { closeSync, constants, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { openLibc } from "./libc.ts";

/** One daemon a directory: a lock of the system's, which dies with its owner. */

/** LOCK_EX | LOCK_NB of sys/file.h. */
const EXCLUSIVE_AT_ONCE = 2 | 4;

export class LockedError extends Error {
  /** @param owner what the holder wrote of itself */
  constructor(readonly owner: string) {
    super(`locked by ${owner}`);
  }
}

/**
 * Takes the lock until `release` is called or the process is gone.
 * @param description what others are told of the holder
 * @throws LockedError where another process holds it
 */
export const takeLock = (path: string, description: string): { release(): void } => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const libc = openLibc({ flock: { args: [FFIType.i32, FFIType.i32], returns: FFIType.i32 } });
  if (libc === null || libc.flock(fd, EXCLUSIVE_AT_ONCE) !== 0) {
    closeSync(fd);
    throw new LockedError(readFileSync(path, "utf8").trim());
  }
  ftruncateSync(fd);
  writeSync(fd, description, 0);
  return { release: () => closeSync(fd) };
};
