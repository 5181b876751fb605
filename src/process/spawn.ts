import { constants } from "node:os";

/** Marks every process of a start, so that one whose pid could not be recorded in time is found again. */
export const LAUNCH_MARK = "SOLAR_HOST_LAUNCH";

/**
 * Names the folder whose daemon started a process, so that a process without a record is found too. Its value is
 * the folder's id; older versions wrote the folder's path, which is not unique to the folder.
 */
export const FOLDER_MARK = "SOLAR_HOST_FOLDER";

/** A child gets neither the daemon's key nor variables that would change a Bun program's behaviour. */
const WITHHELD = ["API_KEY", "SOLAR_HOST_API_KEY", "BUN_OPTIONS", "BUN_BE_BUN", LAUNCH_MARK, FOLDER_MARK];

export interface ChildExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Child {
  /** Also the id of its process group and session. */
  pid: number;
  exited: Promise<ChildExit>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const nameOfSignal = (number: number): NodeJS.Signals | null =>
  (Object.entries(constants.signals).find(([, value]) => value === number)?.[0] as NodeJS.Signals | undefined) ?? null;

/**
 * Starts a program in a session of its own, its output going straight into an open file: nothing
 * that happens to the daemon can block or end it.
 * @param inherited the environment that the daemon was started with
 * @param marks by which the process, and all that it starts, is found again
 * @throws where the system cannot start it
 */
export const spawnDetached = (
  argv: readonly string[],
  inherited: Environment,
  added: Readonly<Record<string, string>>,
  marks: { launch: string; folder: string },
  logFd: number,
): Child => {
  const passed = Object.entries(inherited).filter(([name]) => !WITHHELD.includes(name.toUpperCase()));
  const child = Bun.spawn([...argv], {
    stdin: "ignore",
    stdout: logFd,
    stderr: logFd,
    detached: true,
    env: { ...Object.fromEntries(passed), ...added, [LAUNCH_MARK]: marks.launch, [FOLDER_MARK]: marks.folder },
  });
  const exited = child.exited.then((): ChildExit => {
    const signal = child.signalCode;
    return { code: child.exitCode, signal: typeof signal === "number" ? nameOfSignal(signal) : signal };
  });
  return { pid: child.pid, exited };
};
