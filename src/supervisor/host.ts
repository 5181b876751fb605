import type { StoredSegment } from "../logs/file-place.ts";
import type { LogSettings } from "../logs/instance-log.ts";
import type { LogDisk } from "../logs/log-disk.ts";
import type { ProcessIdentity } from "../process/identity.ts";
import type { PortRegistry } from "../process/ports.ts";
import type { RecordFolder } from "../store/records.ts";
import type { RestartPolicy } from "./restart-policy.ts";
import type { StartGate } from "./start-gate.ts";
import type { StateRecord } from "./state-record.ts";

/** The daemon's own log, as the supervisor writes to it. */
export interface Journal {
  debug(message: string, facts?: Record<string, unknown>): void;
  info(message: string, facts?: Record<string, unknown>): void;
  warn(message: string, facts?: Record<string, unknown>): void;
  error(message: string, facts?: Record<string, unknown>): void;
}

/** What is recorded of a start, so that a daemon that comes back knows the process as its own. */
export interface LaunchRecord {
  /** In the environment of each of its processes. */
  mark: string;
  /** Id of the folder whose daemons it belongs to. Absent in records of older versions. */
  folder?: string;
  /** The daemon that started it or took it over last. Absent in records of older versions. */
  owner?: ProcessIdentity;
  port: number;
  /** Address that it was told to listen on. Absent in records of older versions. */
  host?: string;
  log_file: string;
  first_seq: number;
  command: string[];
  started_at: string;
  status: "starting" | "running" | "stopping";
  /** While it is stopping: whether it is to be started again after that. Absent in records of older versions. */
  restart?: boolean;
  /** Null until it is spawned; a daemon that died in between leaves it so. */
  process: ProcessIdentity | null;
  crashes: number;
  retry_count: number;
}

export const isLaunchRecord = (value: unknown): value is LaunchRecord => {
  const { mark, port, status, started_at, process } = (value ?? {}) as Record<string, unknown>;
  const texts = [mark, status, started_at].every((text) => typeof text === "string" && text !== "");
  const known = process === null || Number.isSafeInteger((process as { pid?: unknown } | undefined)?.pid);
  return texts && Number.isSafeInteger(port) && known;
};

/** What all instances of one daemon share. */
export interface Host {
  /** The daemon's folder: its id, which no other folder has, and its path as of the boot. */
  readonly folder: { readonly id: string; readonly path: string };
  /** The daemon itself, as the owner of what it starts and takes over. */
  readonly self: ProcessIdentity;
  /** Throws where the daemon's folder was moved, or replaced, since the start. */
  readonly checkPlace: () => void;
  readonly ports: PortRegistry;
  readonly gate: StartGate;
  readonly policy: RestartPolicy;
  readonly journal: Journal;
  readonly logs: LogSettings;
  readonly logDisk: LogDisk;
  readonly segments: RecordFolder<StoredSegment[]>;
  readonly launches: RecordFolder<LaunchRecord>;
  readonly states: RecordFolder<StateRecord>;
  /** The environment that the daemon was started with: what children inherit. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly llamaServer: string;
  readonly python: string;
  /** Unpacks the Python server where that is still to be done. */
  readonly pyserverDir: () => Promise<string>;
  /** Milliseconds between SIGTERM and SIGKILL. */
  readonly stopTimeout: number;
  /** Milliseconds between health checks of a running instance; 0 is never. */
  readonly healthInterval: number;
  /** Milliseconds for which an instance at work may stay silent. */
  readonly hangTimeout: number;
}
