import type { LaunchRecord } from "../model-server/launch-record.ts";

/** What is to be made of a launch record at a boot. Pure. */

export type AdoptionOutcome =
  /** The process goes on, as this daemon's. */
  | "adopt"
  /** The process belongs to no instance any more: it is ended. */
  | "end"
  /** The process has gone: what is left of it is cleared away. */
  | "clear-away"
  /** As that, and it had been running when the last daemon died: its end is a crash. */
  | "crashed"
  /** Another daemon's, or of an entry that a person has to mend: neither taken over nor ended. */
  | "leave-alone";

export interface AdoptionFacts {
  /** Null where the record is damaged. */
  record: Pick<LaunchRecord, "status" | "process"> | null;
  /** Whether the very process of the record is there. */
  isAlive: boolean;
  /** Whether the record is this folder's, and not copied here from another. */
  isOurs: boolean;
  /** What the configuration says of the instance: nothing, something that cannot be read, or whether it should run. */
  entry: "none" | "unreadable" | "should-run" | "should-not-run";
  /** Of this run of the machine. */
  bootId: string;
}

export const decideAdoption = ({ record, isAlive, isOurs, entry, bootId }: AdoptionFacts): AdoptionOutcome => {
  if (entry === "unreadable" || (record !== null && !isOurs)) return "leave-alone";
  if (isAlive) return entry === "none" ? "end" : "adopt";
  const wasRunning = record?.status === "running" && record.process?.bootId === bootId;
  return wasRunning && entry === "should-run" ? "crashed" : "clear-away";
};

/**
 * Whether the process of a record is this folder's: the record may have been copied here from another one, whose daemon
 * still serves, or will when it comes back.
 * @param mark what the process bears as its folder's; null where that is hidden, or the process has gone
 */
export const isOurs = (
  { folder: recorded }: Pick<LaunchRecord, "folder">,
  folder: { readonly id: string; readonly path: string },
  mark: string | null,
): boolean => {
  if (recorded !== undefined) return recorded === folder.id;
  // Older versions recorded no folder, and marked their processes with its path.
  return mark === null || mark === folder.path || mark === folder.id;
};

/**
 * Whether the record of a process that lives tells more of what should be than the configuration does: a start is recorded
 * before it is stored, a stop and a restart after they are.
 */
export const tellsOfStart = ({ status }: Pick<LaunchRecord, "status">): boolean => status !== "stopping";
