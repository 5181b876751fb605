import { FFIType, type Pointer, read as readMemory } from "bun:ffi";
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmdirSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { openLibc } from "./libc.ts";

/** One daemon a directory: locks of the system's, which die with their owner. */

/**
 * Locks an open file, for as long as a process has it open. By the C library's function; where a program may make no
 * executable memory (`MemoryDenyWriteExecute` of systemd, say) or another C library is in use (musl), by the command of
 * the same name, which locks the file that it is handed.
 */
export type Flock = (fd: number) => "taken" | "held" | { problem: string };

/** LOCK_EX | LOCK_NB of sys/file.h. */
const EXCLUSIVE_AT_ONCE = 2 | 4;

const isDarwin = process.platform === "darwin";

/** Source: errno.h of Linux and of macOS. */
const EINTR = 4;
const EWOULDBLOCK = isDarwin ? 35 : 11;
const words: Readonly<Record<number, string>> = {
  [isDarwin ? 77 : 37]: "the system has no locks left",
  [isDarwin ? 45 : 95]: "its file system has no locks",
  [isDarwin ? 78 : 38]: "this system has no such lock",
};

const { i32, ptr } = FFIType;
const asked = { args: [i32, i32], returns: i32 } as const;
const place = { args: [], returns: ptr } as const;

const openErrno = (): (() => number) => {
  const name = isDarwin ? "__error" : "__errno_location";
  const libc = openLibc({ [name]: place });
  return () => {
    const where = libc?.[name]?.() as Pointer | null | undefined;
    return where === null || where === undefined ? 0 : readMemory.i32(where);
  };
};

const byLibrary = (): Flock | null => {
  const libc = openLibc({ flock: asked });
  if (libc === null) return null;
  const errno = openErrno();
  return (fd) => {
    for (;;) {
      if (libc.flock(fd, EXCLUSIVE_AT_ONCE) === 0) return "taken";
      const code = errno();
      if (code === EWOULDBLOCK) return "held";
      if (code !== EINTR) return { problem: words[code] ?? `the system refuses to lock it (error ${code})` };
    }
  };
};

/** Its exit code where another process has the lock, chosen so that no failure of its own has it. */
const HELD = 99;
/** How the child sees the first descriptor behind its standard ones. */
const CHILD_FD = 3;

/** @param command a path, or a name to be looked up */
export const byCommand =
  (command: string): Flock =>
  (fd) => {
    try {
      const { exitCode } = Bun.spawnSync([command, "-x", "-n", "-E", String(HELD), String(CHILD_FD)], {
        stdio: ["ignore", "ignore", "ignore", fd],
      });
      if (exitCode === 0) return "taken";
      return exitCode === HELD ? "held" : { problem: `the command '${command}' could not lock it` };
    } catch {
      return {
        problem: `this program may not call the system's C library here, and there is no command '${command}' to do it instead: install util-linux`,
      };
    }
  };

export const openFlock = (library: () => Flock | null = byLibrary): Flock => library() ?? byCommand("flock");

export class LockedError extends Error {
  /** @param owner the holder, as it describes itself */
  constructor(readonly owner: string) {
    super(`locked by ${owner}`);
  }
}

/**
 * Takes the lock of a folder until the process is gone. Two things are locked: the file, which names the holder, and
 * the folder above its own folder, so that no second daemon gets in where our state was removed under the first.
 * @param path the lock file, in a folder that is ours alone
 * @param description the holder, for the message of a daemon that is refused
 * @throws LockedError where another process holds it, an error in words where the system cannot lock
 */
export const takeLock = (path: string, description: string): void => {
  const flock = openFlock();
  const folder = lockFolder(dirname(dirname(path)), path, flock);
  try {
    lockFile(path, description, flock);
  } catch (error) {
    closeSync(folder);
    throw error;
  }
};

/** The same, of a single file that others reach by another path: the lock file alone. */
export const takeFileLock = (path: string, description: string): void => lockFile(path, description, openFlock());

const lockFile = (path: string, description: string, flock: Flock): void => {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const outcome = flock(fd);
  if (outcome !== "taken") {
    closeSync(fd);
    throw outcome === "held" ? new LockedError(ownerIn(path) ?? "pid unknown") : new Error(outcome.problem);
  }
  ftruncateSync(fd);
  writeSync(fd, description, 0);
};

const lockFolder = (folder: string, path: string, flock: Flock): number => {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  if (flock(fd) === "taken" || !locksFolders(folder, flock)) return fd;
  const { ino } = fstatSync(fd);
  closeSync(fd);
  throw new LockedError(ownerIn(path) ?? ownerOf(folder, ino) ?? "pid unknown");
};

/** Some file systems, NFS among them, lock files only. */
const locksFolders = (folder: string, flock: Flock): boolean => {
  let own: string;
  try {
    own = mkdtempSync(join(folder, ".solar-host-lock-"));
  } catch {
    // A folder in which no file can be made cannot be served.
    return true;
  }
  const fd = openSync(own, constants.O_RDONLY);
  const locks = flock(fd) === "taken";
  closeSync(fd);
  rmdirSync(own);
  return locks;
};

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

const ownerIn = (path: string): string | null => read(path).trim() || null;

/**
 * Where the file that names the holder was removed, the system still knows: `1: FLOCK ADVISORY WRITE 4242 08:01:99 …`.
 * The inode alone may be that of another disk, so that the process must have the folder open.
 */
const ownerOf = (folder: string, inode: number): string | null => {
  const holders = read("/proc/locks").matchAll(
    new RegExp(`FLOCK\\s+ADVISORY\\s+WRITE\\s+([1-9]\\d*)\\s+\\S+:${inode}\\s`, "g"),
  );
  const pid = [...holders].map(([, pid = ""]) => pid).find((pid) => hasOpen(pid, realpathSync(folder)));
  return pid === undefined ? null : `pid ${pid}`;
};

const hasOpen = (pid: string, path: string): boolean => {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path);
  } catch {
    // The process is another user's, or closed a file meanwhile.
    return false;
  }
};
