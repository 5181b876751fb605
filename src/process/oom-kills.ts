import { readFileSync } from "node:fs";

/** How many processes the system has killed since its boot for want of memory, control groups too; null: unknown. */
export const oomKills = (): number | null => {
  try {
    const found = /^oom_kill (\d+)$/m.exec(readFileSync("/proc/vmstat", "latin1"))?.[1];
    return found === undefined ? null : Number(found);
  } catch {
    return null;
  }
};
