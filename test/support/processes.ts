import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What runs on this machine, as /proc tells. */

const read = (path: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // It ended meanwhile, or is another user's.
    return "";
  }
};

/** A zombie has ended. */
export const isAlive = (pid: number | null): boolean =>
  pid !== null && /^State:\s+[^ZX]/m.test(read(`/proc/${pid}/status`));

/** Whether it leads its group. What it forks is of its group, and has its command line until it runs another program. */
const leads = (pid: number): boolean =>
  / \S \d+ (\d+)/.exec(read(`/proc/${pid}/stat`).replace(/^.*\)/, ""))?.[1] === String(pid);

/** Pids of model servers whose model lies in this folder. */
export const modelServersOf = (dir: string): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/cmdline`).includes(`--model\0${dir}/`))
    .map(Number)
    .filter((pid) => isAlive(pid) && leads(pid))
    .sort((a, b) => a - b);

/** Resident memory in MiB. */
export const residentMib = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]) / 1024;

/** The model file that a model server was started with; null for one that has gone. */
export const modelOf = (pid: number): string | null =>
  /--model\0([^\0]*)/.exec(read(`/proc/${pid}/cmdline`))?.[1] ?? null;

/** Pids of all that was started in this folder. */
export const processesIn = (dir: string): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === dir && isAlive(pid);
      } catch {
        return false;
      }
    });
