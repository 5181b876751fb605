import { readdirSync, readFileSync } from "node:fs";
import { type DaemonRecord, daemonRecord, daemonRecordFolder } from "../contract/daemon-record.ts";
import type { Io } from "./io.ts";

/** Finds the daemons of this user on this machine by the records that they leave. */

/** The 22nd field of /proc/<pid>/stat; the second, the program's name, may itself hold blanks and parentheses. */
export const startTimeOfStat = (stat: string): string | null =>
  stat
    .slice(stat.lastIndexOf(")") + 1)
    .trim()
    .split(/\s+/)[19] ?? null;

const unlessGone = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

const linuxStartTime = (pid: number): string | null => {
  const stat = unlessGone(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  return stat === null ? null : startTimeOfStat(stat);
};

/** Language and time zone as the daemon has them when it writes its own. */
const darwinStartTime = (pid: number): string | null => {
  const env = { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
  const done = Bun.spawnSync(["ps", "-o", "lstart=", "-p", String(pid)], { env, stdin: "ignore", stderr: "ignore" });
  const text = done.stdout.toString().trim().split(/\s+/).join(" ");
  return text === "" ? null : text;
};

/**
 * Whether the very process that left a record still runs: the number alone may be someone else's by now. On macOS
 * the start time is a date, which no other run of the machine repeats; on Linux it counts from the boot.
 */
export const isRunning = (record: Pick<DaemonRecord, "pid" | "start_time" | "boot_id">): boolean => {
  if (process.platform === "darwin") return darwinStartTime(record.pid) === record.start_time;
  const boot = unlessGone(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  return boot === record.boot_id && linuxStartTime(record.pid) === record.start_time;
};

const readRecord = (path: string): DaemonRecord | null =>
  unlessGone(() => daemonRecord.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? null);

/** Those that run, by directory. A record that cannot be read is none. */
export const findLocalDaemons = (io: Pick<Io, "env" | "home">): DaemonRecord[] => {
  const folder = daemonRecordFolder(io.env, io.home);
  const names = unlessGone(() => readdirSync(folder)) ?? [];
  return names
    .filter((name) => name.endsWith(".json"))
    .map((name) => readRecord(`${folder}/${name}`))
    .filter((record) => record !== null && isRunning(record))
    .filter((record) => record !== null)
    .sort((a, b) => (a.directory < b.directory ? -1 : 1));
};

const holds = (directory: string, path: string): boolean =>
  path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);

/** Of several daemons, the one in whose directory, or nearest above, `path` is. */
export const daemonAround = (daemons: readonly DaemonRecord[], path: string): DaemonRecord | null => {
  const around = daemons.filter((daemon) => holds(daemon.directory, path));
  return around.sort((a, b) => b.directory.length - a.directory.length)[0] ?? null;
};
