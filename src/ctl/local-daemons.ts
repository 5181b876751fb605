import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { type DaemonRecord, daemonRecord, daemonRecordFolder } from "../contract/daemon-record.ts";
import { Api } from "./api.ts";
import { listInstances } from "./calls.ts";
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

/** What a record says of the process that left it; that of a folder has no key. */
export type RecordedProcess = Pick<DaemonRecord, "url" | "pid" | "start_time" | "boot_id" | "pid_namespace"> &
  Partial<Pick<DaemonRecord, "key">>;

const ASKED_MS = 2000;

/** Whether a daemon answers at an address, and takes the key: another one may have the address by now. */
const answers = async (url: string, key: string): Promise<boolean> => {
  const api = new Api({ url, key, name: url, keyFrom: "its record" });
  try {
    if (key === "") return (await api.daemonVersion()) !== null;
    await listInstances(api, { timeoutMs: ASKED_MS });
    return true;
  } catch {
    return false;
  }
};

/**
 * Whether the very process that left a record still runs: the number alone may be someone else's by now. On macOS
 * the start time is a date, which no other run of the machine repeats; on Linux it counts from the boot. A container
 * numbers its processes itself, so that of a daemon in another one its address is asked.
 */
export const isRunning = async (record: RecordedProcess): Promise<boolean> => {
  const { url, key = "", pid, start_time, boot_id, pid_namespace } = record;
  if (process.platform === "darwin") return darwinStartTime(pid) === start_time;
  if (boot_id !== unlessGone(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim())) return false;
  if (pid_namespace === undefined || pid_namespace === unlessGone(() => readlinkSync("/proc/self/ns/pid")))
    return linuxStartTime(pid) === start_time;
  return await answers(url, key);
};

const readRecord = (path: string): DaemonRecord | null =>
  unlessGone(() => daemonRecord.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? null);

/** Those that run, by directory. A record that cannot be read is none. */
export const findLocalDaemons = async (io: Pick<Io, "env" | "home">): Promise<DaemonRecord[]> => {
  const folder = daemonRecordFolder(io.env, io.home);
  const names = unlessGone(() => readdirSync(folder)) ?? [];
  const records = names.filter((name) => name.endsWith(".json")).map((name) => readRecord(`${folder}/${name}`));
  const found = await Promise.all(records.map(async (record) => (record && (await isRunning(record)) ? [record] : [])));
  return found.flat().sort((a, b) => (a.directory < b.directory ? -1 : 1));
};

const holds = (directory: string, path: string): boolean =>
  path === directory || path.startsWith(directory.endsWith("/") ? directory : `${directory}/`);

/** Of several daemons, the one in whose directory, or nearest above, `path` is. */
export const daemonAround = (daemons: readonly DaemonRecord[], path: string): DaemonRecord | null => {
  const around = daemons.filter((daemon) => holds(daemon.directory, path));
  return around.sort((a, b) => b.directory.length - a.directory.length)[0] ?? null;
};
