import { FFIType, type Pointer, read } from "bun:ffi";
import { openLibc } from "./libc.ts";

/**
 * The system's lock on an open file, which dies with the processes that have it open. By the C library's function; where
 * a program may make no executable memory (`MemoryDenyWriteExecute` of systemd, say) or another C library is in use
 * (musl), by the command of the same name, which locks the file that it is handed as ours.
 */

export type LockOutcome = "taken" | "held" | { problem: string };

export type Flock = (fd: number) => LockOutcome;

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
    return where === null || where === undefined ? 0 : read.i32(where);
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
