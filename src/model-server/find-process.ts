import { groupMembers, processesWithEnv } from "../process/group.ts";
import { identifyLater, isSameLater, isVisible, type ProcessIdentity } from "../process/identity.ts";
import { LAUNCH_MARK } from "../process/spawn.ts";
import type { LaunchedProcess } from "./launch.ts";
import type { LaunchRecord } from "./launch-record.ts";

/** The process that an earlier daemon started, by its record. */

/** An adopted process is no child of this daemon, so its end is looked for. */
const ADOPTED_POLL_MS = 250;

const findByMark = async (record: LaunchRecord): Promise<ProcessIdentity | null> => {
  // Only the leader of its group: without that, the rest serves no requests.
  for (const pid of await processesWithEnv(LAUNCH_MARK, record.mark)) {
    if ((await groupMembers(pid)).includes(pid)) return identifyLater(pid);
  }
  return null;
};

/** No answer from the system now does not mean that the process is gone. */
const mayRun = (identity: ProcessIdentity): Promise<boolean> => isSameLater(identity).catch(() => true);

const endOf = (identity: ProcessIdentity): Promise<null> =>
  new Promise((done) => {
    const look = async (): Promise<void> => ((await mayRun(identity)) ? lookLater() : done(null));
    // Looking on is no reason for the daemon to stay.
    const lookLater = (): void => void setTimeout(() => void look(), ADOPTED_POLL_MS).unref();
    lookLater();
  });

/** The process of a record, where it is still that very process; null where it is gone. */
export const findProcess = async (record: LaunchRecord): Promise<LaunchedProcess | null> => {
  // A daemon that died between spawn and record left a process with no identity. One of a container that has ended, or
  // that is seen from outside, recorded a number that means nothing here.
  const identity = record.process !== null && isVisible(record.process) ? record.process : await findByMark(record);
  if (identity === null || !(await isSameLater(identity))) return null;
  const found = { ...record, process: identity };
  return { pid: identity.pid, record: found, isChild: false, oomKills: null, exited: endOf(identity) };
};
