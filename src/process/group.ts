import { errorCode } from "../common/system-error.ts";
import { environments, livingProcesses, valueIn } from "./darwin.ts";
import { isLiving, processIds, readEnviron, readProcStat } from "./proc.ts";

/**
 * Process groups. A model server may fork, and its children hold the GPU too. So the group is signalled, and a stop
 * is done when nothing of the group is left.
 */

/** Pids of the group's members that still run; zombies have ended and are left out. */
export const groupMembers = async (pgid: number): Promise<number[]> => {
  checkGroup(pgid);
  if (process.platform === "darwin") {
    return (await livingProcesses.fresh()).filter(({ group }) => group === pgid).map(({ pid }) => pid);
  }
  return processIds().filter((pid) => {
    const stat = readProcStat(pid);
    return stat !== null && stat.group === pgid && isLiving(stat);
  });
};

export const groupAlive = async (pgid: number): Promise<boolean> => {
  checkGroup(pgid);
  // One call says that nothing is there at all, and one more that its leader lives: it is asked every few
  // milliseconds while a group is being stopped, and reading each process of the machine takes some of them.
  try {
    process.kill(-pgid, 0);
  } catch (error) {
    if (errorCode(error) === "ESRCH") return false;
    if (errorCode(error) !== "EPERM") throw error;
  }
  return leaderLives(pgid) || (await groupMembers(pgid)).length > 0;
};

const leaderLives = (pgid: number): boolean => {
  const stat = process.platform === "darwin" ? null : readProcStat(pgid);
  return stat !== null && stat.group === pgid && isLiving(stat);
};

/**
 * Sends a signal to each member of the group; false where the group has no member. (A zombie counts as
 * a member here until its parent has waited for it: `groupAlive` tells whether a process runs.)
 * Throws where members live that may not be signalled.
 */
export const signalGroup = async (pgid: number, signal: NodeJS.Signals): Promise<boolean> => {
  checkGroup(pgid);
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    if (errorCode(error) === "ESRCH") return false;
    // macOS answers EPERM for a group of which only zombies are left.
    if (errorCode(error) === "EPERM" && (await groupMembers(pgid)).length === 0) return false;
    throw error;
  }
};

/**
 * Pids of processes that were started with `name=value` in their environment, as far as it may be read (on
 * Linux that of processes of the same user). It finds what has left the group and the session, for the
 * environment is inherited by all. Never this process itself.
 */
export const processesWithEnv = async (name: string, value: string): Promise<number[]> => {
  const pids =
    process.platform === "darwin"
      ? [...(await environments.fresh())].flatMap(([pid, env]) => (valueIn(env, name) === value ? [pid] : []))
      : linuxProcessesWithEnv(name, value);
  return pids.filter((pid) => pid !== process.pid);
};

const linuxProcessesWithEnv = (name: string, value: string): number[] => {
  const entry = Buffer.from(`${name}=${value}\0`);
  return processIds().filter((pid) => {
    const environ = readEnviron(pid);
    // A zombie's environment is gone already, so what matches still runs.
    return environ !== null && hasEntry(environ, entry);
  });
};

/** Value of `name` in the environment that a process was started with; null where it has none, or hides it. */
export const environmentValue = async (pid: number, name: string): Promise<string | null> => {
  if (process.platform === "darwin") return valueIn((await environments.fresh()).get(pid), name);
  const entries = readEnviron(pid)?.toString("utf8").split("\0") ?? [];
  return entries.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? null;
};

/** Whether `entry`, its NUL included, stands in `environ` at the start of an entry. */
export const hasEntry = (environ: Buffer, entry: Buffer): boolean => {
  for (let at = environ.indexOf(entry); at >= 0; at = environ.indexOf(entry, at + 1)) {
    if (at === 0 || environ[at - 1] === 0) return true;
  }
  return false;
};

/** kill(2) takes -1 for every process of the user and 0 for our own group: neither is ever meant here. */
const checkGroup = (pgid: number): void => {
  if (!Number.isInteger(pgid) || pgid <= 1) throw new RangeError(`not a process group of a child: ${pgid}`);
};
