import { errorCode, systemProblem } from "../common/system-error.ts";
import { groupAlive, processesWithEnv, signalGroup } from "../process/group.ts";
import { identifyLater, type ProcessIdentity } from "../process/identity.ts";
import { FOLDER_MARK, LAUNCH_MARK } from "../process/spawn.ts";
import type { LaunchedProcess } from "./launch.ts";

/** Ends a process group: asked first, made to after a grace time; done when nothing of it is left. */

/** On macOS each look waits for its turn, since it starts a `ps`. */
const POLL_MS = 10;
/** How long the system may take to clear away a killed process before that is reported. */
const KILL_WAIT_MS = 5000;
const STUCK_POLL_MS = 500;

export interface TerminationTarget {
  /** Process group. */
  pid: number;
  /** Of its leader, dead or alive; null where it ended before it could be told. */
  identity: ProcessIdentity | null;
  /** Value of the launch mark in the environment of each of its processes. */
  mark: string;
  /** Whether it is a child of this daemon whose end was not told yet; then the system need not be asked. */
  isRunning?: () => boolean;
}

export const targetOf = ({ pid, record }: Pick<LaunchedProcess, "pid" | "record">): TerminationTarget => ({
  pid,
  identity: record.process,
  mark: record.mark,
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const waitUntilGone = async (target: TerminationTarget, ms: number, cut: () => boolean): Promise<boolean> => {
  const until = performance.now() + ms;
  while (await isThere(target)) {
    if (performance.now() >= until || cut()) return false;
    await sleep(POLL_MS);
  }
  return true;
};

/** Its number went round: the group has ended, and another one is led by a process that started later. */
const isAnothers = async ({ pid, identity, isRunning }: TerminationTarget): Promise<boolean> => {
  if (identity === null || isRunning?.()) return false;
  const leader = await identifyLater(pid);
  return leader !== null && leader.startTime !== identity.startTime;
};

const isThere = async (target: TerminationTarget): Promise<boolean> => {
  if (target.isRunning?.()) return true;
  // At once, so that both share a look.
  const [isAlive, isAlien] = await Promise.all([groupAlive(target.pid), isAnothers(target)]);
  return isAlive && !isAlien;
};

/**
 * Ends what still bears the mark of a start: what left its group (a daemon of its own, say), or outlived its leader.
 * Resolves when it is gone, since it may hold the port and the GPU; what SIGKILL does not end is not waited for long.
 * @returns false where SIGKILL did not end all of it
 */
export const killStragglers = (mark: string): Promise<boolean> => killAll(() => processesWithEnv(LAUNCH_MARK, mark));

/** Processes that daemons of this folder started, and that bear none of these marks. */
export const strangersTo = async (marks: readonly string[], folder: string): Promise<number[]> => {
  const pids = await processesWithEnv(FOLDER_MARK, folder);
  if (pids.length === 0) return [];
  const known = new Set((await Promise.all(marks.map((mark) => processesWithEnv(LAUNCH_MARK, mark)))).flat());
  return pids.filter((pid) => !known.has(pid));
};

/** Ends what `find` finds until it finds nothing more; false where SIGKILL did not help in time. */
export const killAll = async (find: () => Promise<number[]>): Promise<boolean> => {
  const until = performance.now() + KILL_WAIT_MS;
  for (;;) {
    const pids = await find();
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended in between.
      }
    }
    if (pids.length === 0) return true;
    if (performance.now() >= until) return false;
    await sleep(POLL_MS);
  }
};

/**
 * Resolves when nothing of the group is left, however long that takes.
 * @param graceMs from SIGTERM to SIGKILL
 * @param escalated turns true when the grace time is to be cut short
 * @param onStuck told what keeps it from ending, and whether it has outlived SIGKILL (it hangs in the kernel, or is
 *   not ours to signal)
 */
export const terminate = async (
  target: TerminationTarget,
  graceMs: number,
  escalated: () => boolean,
  onStuck: (message: string, outlived: boolean) => void,
): Promise<void> => {
  const send = async (signal: NodeJS.Signals): Promise<void> => {
    if (await isAnothers(target)) return;
    try {
      await signalGroup(target.pid, signal);
    } catch (error) {
      // It changed its user, say.
      const problem =
        errorCode(error) === "EPERM"
          ? "it runs as another user by now: end it as that user, or as root"
          : systemProblem(error);
      onStuck(`cannot send ${signal} to process group ${target.pid}: ${problem}`, false);
    }
  };
  if (await isThere(target)) {
    await send("SIGTERM");
    // A stopped process does not see SIGTERM before it goes on.
    await send("SIGCONT");
    if (!(await waitUntilGone(target, graceMs, escalated))) {
      await send("SIGKILL");
      if (!(await waitUntilGone(target, KILL_WAIT_MS, () => false))) {
        onStuck(`process group ${target.pid} is still there ${KILL_WAIT_MS / 1000} s after SIGKILL`, true);
        while (await isThere(target)) await sleep(STUCK_POLL_MS);
      }
    }
  }
  if (!(await killStragglers(target.mark))) {
    onStuck(
      `processes that had left process group ${target.pid} are still there ${KILL_WAIT_MS / 1000} s after SIGKILL`,
      false,
    );
  }
};
