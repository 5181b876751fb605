/** macOS has no /proc: the same facts come from its `ps`, `sysctl` and `lsof`. Parsers are pure. */

export interface PsRow {
  pid: number;
  group: number;
  state: string;
}

/**
 * Output of a program, empty where there is none (`ps` and `lsof` say nothing when nothing matches).
 * It waits for the program, some 10 ms: on macOS only, and only where a process is started, stopped or adopted.
 */
export function output(argv: [string, ...string[]]): string {
  return Bun.spawnSync(argv, { ...quiet, env: plainEnv() }).stdout.toString();
}

/** The same without waiting. */
export async function outputLater(argv: [string, ...string[]]): Promise<string> {
  return await Bun.spawn(argv, { ...quiet, env: plainEnv() }).stdout.text();
}

const quiet = { stdin: "ignore", stdout: "pipe", stderr: "ignore" } as const;

/** Fixed language and time zone: the text of a start time must read the same to every daemon that compares it. */
function plainEnv(): Record<string, string> {
  return { PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C", TZ: "UTC" };
}

/** Output of `ps -o lstart=,stat= -p PID`: `Mon Nov 24 10:00:00 2025     Ss`. */
export function parseStartTime(text: string): { startTime: string; state: string } | null {
  const words = text.trim().split(/\s+/);
  const state = words.pop();
  if (state === undefined || words.length < 5) return null;
  return { startTime: words.join(" "), state };
}

/** Output of `ps -A -o pid=,pgid=,stat=`. */
export function parsePsRows(text: string): PsRow[] {
  const rows: PsRow[] = [];
  for (const line of text.split("\n")) {
    const [pid, group, state] = line.trim().split(/\s+/);
    if (pid !== undefined && group !== undefined && state !== undefined) {
      rows.push({ pid: Number(pid), group: Number(group), state });
    }
  }
  return rows;
}

export function isZombie(state: string): boolean {
  return state.startsWith("Z");
}

/** Output of `ps -A -E -ww -o pid=,command=`, where the environment follows the arguments, parted by blanks. */
export function parsePidsWithEnv(text: string, name: string, value: string): number[] {
  const entry = ` ${name}=${value}`;
  const pids: number[] = [];
  for (const line of text.split("\n")) {
    const pid = line.match(/^\s*(\d+)\s/)?.[1];
    if (pid !== undefined && (line.includes(`${entry} `) || line.endsWith(entry))) pids.push(Number(pid));
  }
  return pids;
}

export function parseEnvValue(text: string, name: string): string | null {
  return text.match(new RegExp(` ${name}=(\\S+)`))?.[1] ?? null;
}
