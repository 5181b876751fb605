import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { errorCode } from "../common/system-error.ts";

/** Reading Linux's /proc, where everything may vanish between two reads. */

/** The fields of /proc/<pid>/stat that are used here. Source: proc_pid_stat(5). */
export interface ProcStat {
  pid: number;
  /** One letter: R, S, D, Z (zombie), X (dead), T … */
  state: string;
  parent: number;
  /** Process group. */
  group: number;
  session: number;
  threads: number;
  /** Clock ticks since boot, as the kernel prints it: it is only ever compared. */
  startTime: string;
}

/** Null for a text that is no stat line. */
export const parseProcStat = (text: string): ProcStat | null => {
  // The second field is the program's name in parentheses, which may itself hold blanks and parentheses.
  const nameEnd = text.lastIndexOf(")");
  if (nameEnd < 0) return null;
  const rest = text
    .slice(nameEnd + 1)
    .trim()
    .split(/\s+/);
  const [state, parent, group, session] = rest;
  const threads = rest[17];
  const startTime = rest[19];
  const pid = Number.parseInt(text, 10);
  if (!Number.isInteger(pid) || state === undefined || threads === undefined || startTime === undefined) return null;
  return {
    pid,
    state,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    threads: Number(threads),
    startTime,
  };
};

/**
 * Whether it still runs. A zombie leader that has threads left is not gone: this is how a process looks whose
 * first thread has ended, and one that was killed while another thread still sits in the driver and holds the GPU.
 */
export const isLiving = (stat: ProcStat): boolean => {
  if (stat.state === "X" || stat.state === "x") return false;
  return stat.state !== "Z" || stat.threads > 1;
};

/** Null where there is no such process, or it is not ours to read. */
export const readProcStat = (pid: number): ProcStat | null => {
  const text = unlessGone(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return text === null ? null : parseProcStat(text);
};

export const processIds = (): number[] => {
  const pids: number[] = [];
  for (const name of readdirSync("/proc")) {
    const first = name.charCodeAt(0);
    if (first >= 0x31 && first <= 0x39) pids.push(Number(name));
  }
  return pids;
};

/** The environment a process was started with, entries ended by NUL; null where it cannot be read. */
export const readEnviron = (pid: number): Buffer | null => unlessGone(() => readFileSync(`/proc/${pid}/environ`));

/**
 * Inodes of the sockets a process holds. Null where they are kept from us: a program with file capabilities
 * (`setcap` for locked memory, say) hides its descriptors even from its own user.
 */
export const socketInodes = (pid: number): string[] | null => {
  const folder = `/proc/${pid}/fd`;
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    if (isRefused(error)) return null;
    if (isGone(error)) return [];
    throw error;
  }
  const inodes: string[] = [];
  for (const name of names) {
    const target = unlessGone(() => readlinkSync(`${folder}/${name}`));
    const inode = target?.match(/^socket:\[(\d+)\]$/)?.[1];
    if (inode !== undefined) inodes.push(inode);
  }
  return inodes;
};

/** Only what says "gone" or "not yours" is swallowed: no descriptors left must not look like a dead process. */
const unlessGone = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch (error) {
    if (isGone(error) || isRefused(error)) return null;
    throw error;
  }
};

const isGone = (error: unknown): boolean => {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ESRCH";
};

const isRefused = (error: unknown): boolean => {
  const code = errorCode(error);
  return code === "EACCES" || code === "EPERM";
};
