import { errorCode, systemProblem } from "../common/system-error.ts";
import { groupAlive, processesWithEnv, signalGroup } from "../process/group.ts";
import { identify, type ProcessIdentity } from "../process/identity.ts";
import { FOLDER_MARK, LAUNCH_MARK } from "../process/spawn.ts";
import type { LaunchedProcess } from "./launch.ts";

/** Ends a process group: asked first, made to after a grace time; done when nothing of it is left. */

/** On macOS each look starts a `ps`, so that it is taken four times a second. */
const POLL_MS = process.platform === "darwin" ? 250 : 10;
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
}

export const targetOf = ({ pid, record }: Pick<LaunchedProcess, "pid" | "record">): TerminationTarget => ({
  pid,
  identity: record.process,
  mark: record.mark,
});

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const waitUntilGone = async (target: TerminationTarget, ms: number, cut: () => boolean): Promise<boolean> => {
  const until = performance.now() + ms;
  while (groupAlive(target.pid) && !isAnothers(target)) {
    if (performance.now() >= until || cut()) return false;
    await sleep(POLL_MS);
  }
  return true;
};

/** Its number went round: the group has ended, and another one is led by a process that started later. */
const isAnothers = ({ pid, identity }: TerminationTarget): boolean => {
  const leader = identity === null ? null : identify(pid);
  return leader !== null && leader.startTime !== identity?.startTime;
};

/**
 * Ends what still bears the mark of a start: what left its group (a daemon of its own, say), or outlived its leader.
 * Resolves when it is gone, since it may hold the port and the GPU; what SIGKILL does not end is not waited for long.
 * @returns false where SIGKILL did not end all of it
 */
export const killStragglers = (mark: string): Promise<boolean> => killAll(() => processesWithEnv(LAUNCH_MARK, mark));

/** Processes that daemons of this folder started, and that bear none of these marks. */
export const strangersTo = (marks: readonly string[], folder: string): number[] => {
  const pids = processesWithEnv(FOLDER_MARK, folder);
  if (pids.length === 0) return [];
  const known = new Set(marks.flatMap((mark) => processesWithEnv(LAUNCH_MARK, mark)));
  return pids.filter((pid) => !known.has(pid));
};

/** Ends what `find` finds until it finds nothing more; false where SIGKILL did not help in time. */
export const killAll = async (find: () => number[]): Promise<boolean> => {
  const until = performance.now() + KILL_WAIT_MS;
  for (;;) {
    const pids = find();
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
  const send = (signal: NodeJS.Signals): void => {
    if (isAnothers(target)) return;
    try {
      signalGroup(target.pid, signal);
    } catch (error) {
      // It changed its user, say.
      const problem =
        errorCode(error) === "EPERM"
          ? "it runs as another user by now: end it as that user, or as root"
          : systemProblem(error);
      onStuck(`cannot send ${signal} to process group ${target.pid}: ${problem}`, false);
    }
  };
  if (groupAlive(target.pid) && !isAnothers(target)) {
    send("SIGTERM");
    // A stopped process does not see SIGTERM before it goes on.
    send("SIGCONT");
    if (!(await waitUntilGone(target, graceMs, escalated))) {
      send("SIGKILL");
      if (!(await waitUntilGone(target, KILL_WAIT_MS, () => false))) {
        onStuck(`process group ${target.pid} is still there ${KILL_WAIT_MS / 1000} s after SIGKILL`, true);
        while (groupAlive(target.pid) && !isAnothers(target)) await sleep(STUCK_POLL_MS);
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
