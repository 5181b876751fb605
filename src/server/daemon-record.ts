import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { urlOf } from "../common/endpoint.ts";
import { systemProblem } from "../common/system-error.ts";
import { type DaemonRecord, daemonRecord, daemonRecordFolder } from "../contract/daemon-record.ts";
import { FOLDER_RECORD, type FolderRecord } from "../contract/folder-record.ts";
import { isSame, isVisible, ownIdentity, type ProcessIdentity } from "../process/identity.ts";
import { replaceJsonSync } from "../store/atomic-file.ts";
import { version } from "../version.ts";

/** The records by which `solar-host ctl` finds this daemon without being told. */

interface RecordedDaemon {
  host: string;
  port: number;
  directory: string;
  key: string;
}

/**
 * One folder has one daemon, so that the next one there takes the same name. Containers that share a home may have other
 * folders under the same path.
 */
const fileName = (directory: string): string => {
  const { dev, ino } = statSync(directory, { bigint: true });
  return `${createHash("sha256").update(`${directory}\0${dev}\0${ino}`).digest("hex").slice(0, 16)}.json`;
};

/** Null for what is no record of ours. */
const readRecord = (path: string): DaemonRecord | null => {
  try {
    return daemonRecord.safeParse(JSON.parse(readFileSync(path, "utf8"))).data ?? null;
  } catch {
    return null;
  }
};

/** This very process, as the records have it. */
const ownProcess = (): Pick<DaemonRecord, "pid" | "start_time" | "boot_id" | "pid_namespace"> => {
  const { pid, startTime, bootId, pidNamespace } = ownIdentity();
  return {
    pid,
    start_time: startTime,
    boot_id: bootId,
    ...(pidNamespace === undefined ? {} : { pid_namespace: pidNamespace }),
  };
};

const identityOf = (record: DaemonRecord): ProcessIdentity => ({
  pid: record.pid,
  startTime: record.start_time,
  bootId: record.boot_id,
  ...(record.pid_namespace === undefined ? {} : { pidNamespace: record.pid_namespace }),
});

/**
 * Whether the daemon of a record has gone, as far as that can be told from here: the home may be shared with other
 * machines and containers, whose processes are not seen.
 */
const hasGone = (record: DaemonRecord): boolean => {
  const identity = identityOf(record);
  const told = identity.pidNamespace !== undefined || process.platform === "darwin";
  return told && isVisible(identity) && !isSame(identity);
};

/** Removes what daemons that were killed could not. */
const removeStale = (folder: string): void => {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const record = name.endsWith(".json") ? readRecord(path) : null;
    if (record !== null && hasGone(record)) rmSync(path, { force: true });
  }
};

/**
 * Leaves the record for clients of the same user, with the key. The daemon does as well without one, so that a failure is
 * only told.
 * @returns how to remove it again
 */
export const leaveRecord = (daemon: RecordedDaemon, warn: (message: string) => void): (() => void) => {
  const folder = daemonRecordFolder(process.env, homedir());
  let path: string | null = null;
  try {
    path = join(folder, fileName(daemon.directory));
    const record: DaemonRecord = {
      url: urlOf(daemon),
      directory: realpathSync(daemon.directory),
      key: daemon.key,
      version,
      ...ownProcess(),
    };
    replaceJsonSync(path, record, false);
    removeStale(folder);
  } catch (error) {
    warn(`no record for local clients: ${systemProblem(error, path ?? folder)}`);
  }
  return () => {
    try {
      if (path !== null) rmSync(path, { force: true });
    } catch (error) {
      warn(`cannot remove the record for local clients: ${systemProblem(error)}`);
    }
  };
};

/** Leaves the record for clients that stand in the daemon's folder, without the key. A failure is only told. */
export const leaveFolderRecord = (
  stateDir: string,
  daemon: Pick<RecordedDaemon, "host" | "port">,
  envFile: string,
  warn: (message: string) => void,
): void => {
  const path = join(stateDir, FOLDER_RECORD);
  try {
    const record: FolderRecord = { url: urlOf(daemon), version, ...ownProcess(), env_file: envFile };
    replaceJsonSync(path, record, false);
  } catch (error) {
    warn(`no record for clients in this folder: ${systemProblem(error, path)}`);
  }
};
