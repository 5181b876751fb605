import { readFileSync, readlinkSync } from "node:fs";
import { uptime } from "node:os";
import { isZombie, livingProcesses, output, parseStartTime } from "./darwin.ts";
import { isLiving, readProcStat } from "./proc.ts";

/**
 * What tells a process from every other one that ever bore its number. A recorded pid alone must never be
 * signalled: after a reboot, or once the numbers have gone round, it is another process's.
 */
export interface ProcessIdentity {
  pid: number;
  /** When it started; an opaque text (Linux: clock ticks since boot, macOS: the date to the second). */
  startTime: string;
  /** Which run of the machine it belongs to. */
  bootId: string;
  /**
   * In which the number counts (Linux: `pid:[4026531836]`): containers number their processes each for itself, and see
   * none of another one's. Absent on macOS, and in records of older versions.
   */
  pidNamespace?: string;
}

const linuxBootId = "/proc/sys/kernel/random/boot_id";
let known: string | undefined;
let knownNamespace: { pidNamespace?: string } | undefined;

/** Changes at each boot of the machine and never within one. */
export const bootId = (): string => {
  known ??= readBootId();
  return known;
};

const readBootId = (): string => {
  if (process.platform !== "darwin") return readFileSync(linuxBootId, "utf8").trim();
  const id = output(["sysctl", "-n", "kern.bootsessionuuid"]).trim();
  if (id === "") throw new Error("sysctl does not tell kern.bootsessionuuid");
  return id;
};

/** Those of this process; empty where there is no such thing. */
export const pidNamespace = (): { pidNamespace?: string } => {
  knownNamespace ??= process.platform === "darwin" ? {} : { pidNamespace: readlinkSync("/proc/self/ns/pid") };
  return knownNamespace;
};

/** Null where no such process runs; a zombie has ended and counts as gone. */
export const identify = (pid: number, boot: string = bootId()): ProcessIdentity | null => {
  if (!Number.isInteger(pid) || pid <= 0) return null;
  const startTime = process.platform === "darwin" ? darwinStartTime(pid) : linuxStartTime(pid);
  return startTime === null ? null : { pid, startTime, bootId: boot, ...pidNamespace() };
};

/** The same, where it can be waited for: on macOS, all who ask share a look. */
export const identifyLater = async (pid: number): Promise<ProcessIdentity | null> => {
  if (process.platform !== "darwin") return identify(pid);
  const startTime = (await livingProcesses.fresh()).find((row) => row.pid === pid)?.startTime;
  return startTime === undefined ? null : { pid, startTime, bootId: bootId() };
};

/** Of this very process. */
export const ownIdentity = (): ProcessIdentity => {
  const identity = identify(process.pid);
  if (identity === null) throw new Error("the system does not tell when this process started");
  return identity;
};

/** Whether a process of that identity could be seen from here, if it ran. */
export const isVisible = (
  { bootId: boot, pidNamespace: namespace }: ProcessIdentity,
  now: string = bootId(),
): boolean => boot === now && (namespace === undefined || namespace === pidNamespace().pidNamespace);

/** Clock ticks a second, in which /proc counts; the same on every Linux that we are made for. Source: proc_pid_stat(5). */
const TICKS = 100;

/** Milliseconds since a process started, by the machine's uptime and not by its clock, which may have been set since. */
export const ageOf = ({ startTime }: ProcessIdentity): number => {
  const age =
    process.platform === "darwin"
      ? Date.now() - Date.parse(`${startTime} UTC`)
      : uptime() * 1000 - (Number(startTime) / TICKS) * 1000;
  return Math.max(0, age);
};

/** Whether that very process still runs, as far as it can be seen from here. `boot` is the machine's present run. */
export const isSame = (identity: ProcessIdentity, boot: string = bootId()): boolean => {
  if (!isVisible(identity, boot)) return false;
  return identify(identity.pid, boot)?.startTime === identity.startTime;
};

/** {@link isSame}, where it can be waited for. */
export const isSameLater = async (identity: ProcessIdentity): Promise<boolean> =>
  isVisible(identity) && (await identifyLater(identity.pid))?.startTime === identity.startTime;

const linuxStartTime = (pid: number): string | null => {
  const stat = readProcStat(pid);
  return stat !== null && isLiving(stat) ? stat.startTime : null;
};

const darwinStartTime = (pid: number): string | null => {
  const row = parseStartTime(output(["ps", "-o", "lstart=,stat=", "-p", String(pid)]));
  return row !== null && !isZombie(row.state) ? row.startTime : null;
};
