import { groupMembers, processesWithEnv } from "../process/group.ts";
import { identify, isSame, isVisible, type ProcessIdentity } from "../process/identity.ts";
import { LAUNCH_MARK } from "../process/spawn.ts";
import type { LaunchedProcess } from "./launch.ts";
import type { LaunchRecord } from "./launch-record.ts";

/** The process that an earlier daemon started, by its record. */

/** An adopted process is no child of this daemon, so its end is looked for. */
const ADOPTED_POLL_MS = 250;

const findByMark = (record: LaunchRecord): ProcessIdentity | null => {
  // Only the leader of its group: without that, the rest serves no requests.
  const pid = processesWithEnv(LAUNCH_MARK, record.mark).find((pid) => groupMembers(pid).includes(pid));
  return pid === undefined ? null : identify(pid);
};

/** No answer from the system now does not mean that the process is gone. */
export const mayRun = (identity: ProcessIdentity): boolean => {
  try {
    return isSame(identity);
  } catch {
    return true;
  }
};

const endOf = (identity: ProcessIdentity): Promise<null> =>
  new Promise((done) => {
    const timer = setInterval(() => {
      if (mayRun(identity)) return;
      clearInterval(timer);
      done(null);
    }, ADOPTED_POLL_MS);
    // Looking on is no reason for the daemon to stay.
    timer.unref();
  });

/** The process of a record, where it is still that very process; null where it is gone. */
export const findProcess = (record: LaunchRecord): LaunchedProcess | null => {
  // A daemon that died between spawn and record left a process with no identity. One of a container that has ended, or
  // that is seen from outside, recorded a number that means nothing here.
  const identity = record.process !== null && isVisible(record.process) ? record.process : findByMark(record);
  if (identity === null || !isSame(identity)) return null;
  return { pid: identity.pid, record: { ...record, process: identity }, oomKills: null, exited: endOf(identity) };
};
