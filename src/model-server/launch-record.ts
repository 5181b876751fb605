import type { ProcessIdentity } from "../process/identity.ts";

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
  /** RFC 3339, UTC. */
  started_at: string;
  status: "starting" | "running" | "stopping";
  /** Null until it is spawned; a daemon that died in between leaves it so. */
  process: ProcessIdentity | null;
  /** Crashes in a row before this start. */
  crashes: number;
  /** Failed attempts of this start before this one. */
  retry_count: number;
}

/** Whether what stands in a file is a {@link LaunchRecord}. */
export const isLaunchRecord = (value: unknown): value is LaunchRecord => {
  const { mark, port, status, started_at, process } = (value ?? {}) as Record<string, unknown>;
  const texts = [mark, status, started_at].every((text) => typeof text === "string" && text !== "");
  const known = process === null || Number.isSafeInteger((process as { pid?: unknown } | undefined)?.pid);
  return texts && Number.isSafeInteger(port) && known;
};
