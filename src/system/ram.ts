import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { type CgroupMemory, readCgroupMemory } from "./cgroup.ts";

/** The machine's own memory, or what the control groups of this process leave of it, in bytes. */
export interface Ram {
  /** What programs hold; what the system would give back at once (caches) does not count. */
  used: number;
  total: number;
}

export const readRam = async (): Promise<Ram> => {
  if (process.platform !== "darwin") {
    const [meminfo, groups] = await Promise.all([readFile("/proc/meminfo", "latin1"), readCgroupMemory()]);
    return withLimits(parseMeminfo(meminfo), groups);
  }
  const child = Bun.spawn(["vm_stat"], { stdin: "ignore", stdout: "pipe", stderr: "ignore", env: { LC_ALL: "C" } });
  return parseVmStat(await child.stdout.text(), totalmem());
};

/** No more is there than the smallest limit, and no more is free than each of the groups has left. */
export const withLimits = (ram: Ram, groups: readonly CgroupMemory[]): Ram => {
  const binding = groups.filter(({ limit }) => limit < ram.total);
  const total = Math.min(ram.total, ...binding.map(({ limit }) => limit));
  const available = Math.min(ram.total - ram.used, ...binding.map(({ limit, used }) => Math.max(0, limit - used)));
  return { used: Math.max(0, total - available), total };
};

/** Linux's /proc/meminfo. `MemAvailable` is the kernel's own estimate of what new programs can have. */
export const parseMeminfo = (text: string): Ram => {
  const bytes = (name: string): number | null => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
    return kib === undefined ? null : Number(kib) * 1024;
  };
  const total = bytes("MemTotal");
  const available = bytes("MemAvailable") ?? bytes("MemFree");
  if (total === null || available === null) throw new Error("/proc/meminfo does not tell the memory's size");
  return { used: total - available, total };
};

/** macOS's `vm_stat`, in pages. Inactive and speculative pages are given back when they are wanted. */
export const parseVmStat = (text: string, total: number): Ram => {
  const pageSize = Number(/page size of (\d+) bytes/.exec(text)?.[1] ?? Number.NaN);
  const pages = (name: string) => Number(new RegExp(`^Pages ${name}:\\s+(\\d+)\\.`, "m").exec(text)?.[1] ?? Number.NaN);
  const available = (pages("free") + pages("inactive") + pages("speculative")) * pageSize;
  if (!Number.isFinite(available)) throw new Error("vm_stat does not tell the free memory");
  return { used: Math.max(0, total - available), total };
};
