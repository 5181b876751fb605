import { systemProblem } from "../common/system-error.ts";
import { SharedLook } from "./shared-look.ts";

/** macOS has no /proc: the same facts come from its `ps`, `sysctl` and `lsof`. Parsers are pure. */

export interface PsRow {
  pid: number;
  group: number;
  state: string;
  startTime: string;
}

/** A program that reports on the system could not be run: its answer is unknown, which is not "nothing". */
export class NotToldError extends Error {}

/**
 * Output of a program; empty where it found nothing (`ps` and `lsof` end with 1 then, and say nothing at all).
 * It waits for the program, some 10 ms: on macOS only, and only where the daemon or a process is started.
 * @throws NotToldError where it could not be run, was ended, or failed
 */
export const output = (argv: [string, ...string[]]): string => {
  try {
    const { stdout, stderr, exitCode } = Bun.spawnSync(argv, { ...quiet, env: plainEnv() });
    return told(argv, exitCode, stdout.toString(), stderr.toString());
  } catch (error) {
    throw asNotTold(argv, error);
  }
};

/** The same without waiting. */
export const outputLater = async (argv: [string, ...string[]]): Promise<string> => {
  try {
    const child = Bun.spawn(argv, { ...quiet, env: plainEnv() });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return told(argv, await child.exited, stdout, stderr);
  } catch (error) {
    throw asNotTold(argv, error);
  }
};

/** @param exitCode of a program that a signal ended it is none */
const told = (argv: readonly string[], exitCode: number | null, stdout: string, stderr: string): string => {
  const nothingFound = exitCode === 1 && stdout === "" && stderr === "";
  if (exitCode === 0 || nothingFound) return stdout;
  throw new NotToldError(`\`${argv.join(" ")}\` failed: ${stderr.trim().split("\n")[0] || `exit code ${exitCode}`}`);
};

const asNotTold = (argv: readonly string[], error: unknown): NotToldError => {
  if (error instanceof NotToldError) return error;
  return new NotToldError(`\`${argv[0]}\` cannot be run: ${systemProblem(error, argv[0])}`);
};

const quiet = { stdin: "ignore", stdout: "pipe", stderr: "pipe" } as const;

/** Fixed language and time zone: the text of a start time must read the same to every daemon that compares it. */
const plainEnv = (): Record<string, string> => ({
  PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin",
  LC_ALL: "C",
  TZ: "UTC",
});

/** Output of `ps -o lstart=,stat= -p PID`: `Mon Nov 24 10:00:00 2025     Ss`. */
export const parseStartTime = (text: string): { startTime: string; state: string } | null => {
  const words = text.trim().split(/\s+/);
  const state = words.pop();
  if (state === undefined || words.length < 5) return null;
  return { startTime: words.join(" "), state };
};

/** Output of `ps -A -o pid=,pgid=,stat=,lstart=`. */
export const parsePsRows = (text: string): PsRow[] => {
  const rows: PsRow[] = [];
  for (const line of text.split("\n")) {
    const [pid, group, state, ...started] = line.trim().split(/\s+/);
    if (pid !== undefined && group !== undefined && state !== undefined && started.length >= 5) {
      rows.push({ pid: Number(pid), group: Number(group), state, startTime: started.join(" ") });
    }
  }
  return rows;
};

export const isZombie = (state: string): boolean => state.startsWith("Z");

/**
 * Environments by pid. `ps -E` writes them behind the arguments, all parted by blanks: only what follows the arguments,
 * which `ps` tells without `-E`, is environment. An argument that looks like an entry is none.
 * @param withEnv output of `ps -A -E -ww -o pid=,command=`
 * @param withoutEnv output of `ps -A -ww -o pid=,command=`
 */
export const parseEnvironments = (withEnv: string, withoutEnv: string): Map<number, string> => {
  const commands = parseCommands(withoutEnv);
  const environments = new Map<number, string>();
  for (const [pid, text] of parseCommands(withEnv)) {
    const command = commands.get(pid);
    // One that came, or ran another program, between the two is seen the next time.
    if (command !== undefined && text.startsWith(`${command} `)) environments.set(pid, text.slice(command.length));
  }
  return environments;
};

const parseCommands = (text: string): Map<number, string> => {
  const commands = new Map<number, string>();
  for (const line of text.split("\n")) {
    const [, pid, command] = line.match(/^\s*(\d+) (.*)$/) ?? [];
    if (pid !== undefined && command !== undefined) commands.set(Number(pid), command.trimEnd());
  }
  return commands;
};

/** Value of `name` in an environment of {@link parseEnvironments}; a value with blanks cannot be told from its end. */
export const valueIn = (environment: string | undefined, name: string): string | null =>
  environment?.match(new RegExp(`(?:^| )${name}=(\\S*)`))?.[1] ?? null;

/** All who ask for processes, or for their environments, are told of by one `ps` in a quarter of a second. */
const LOOK_EVERY_MS = 250;

/** Those that run, zombies left out. */
export const livingProcesses = new SharedLook(async (): Promise<PsRow[]> => {
  const rows = parsePsRows(await outputLater(["ps", "-A", "-o", "pid=,pgid=,stat=,lstart="]));
  return rows.filter(({ state }) => !isZombie(state));
}, LOOK_EVERY_MS);

export const environments = new SharedLook(async (): Promise<Map<number, string>> => {
  const list = (...flags: string[]) => outputLater(["ps", "-A", ...flags, "-ww", "-o", "pid=,command="]);
  return parseEnvironments(await list("-E"), await list());
}, LOOK_EVERY_MS);
