import { readdirSync, readFileSync } from "node:fs";

/** What runs on this machine, as /proc tells. */

const read = (path: string): string => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    // It ended meanwhile, or belongs to somebody else.
    return "";
  }
};

/** A zombie has ended. */
export const isAlive = (pid: number | null): boolean =>
  pid !== null && /^State:\s+[^ZX]/m.test(read(`/proc/${pid}/status`));

/** Pids of model servers whose model lies in this folder. */
export const modelServersOf = (dir: string): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => read(`/proc/${pid}/cmdline`).includes(`--model\0${dir}/`))
    .map(Number)
    .filter(isAlive)
    .sort((a, b) => a - b);

/** Resident memory in MiB. */
export const residentMib = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1]) / 1024;
