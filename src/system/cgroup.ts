import { readFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * What the control groups of this process leave it of the machine's memory: a container's limit, a service's
 * `MemoryMax`. Each group on the way from its own up to the root may have one. Model servers are in the same groups.
 */

/** One group with a limit, in bytes. */
export interface CgroupMemory {
  limit: number;
  /** What its processes hold; file pages that the kernel gives back before the limit is felt do not count. */
  used: number;
}

interface CgroupFolders {
  version: 1 | 2;
  /** From the process's own group up to where the hierarchy is mounted. */
  folders: string[];
}

/** mountinfo writes a blank in a path as \040. */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

interface CgroupMount {
  version: 1 | 2;
  /** Path within the hierarchy that is mounted: a container may see only a part of it. */
  root: string;
  point: string;
}

const MOUNT = /^\d+ \d+ \S+ (\S+) (\S+) .* - (cgroup2?) \S+ (\S+)$/;

const mountOf = (line: string): CgroupMount | null => {
  const [, root = "", point = "", type, options = ""] = MOUNT.exec(line) ?? [];
  if (type === undefined || (type === "cgroup" && !options.split(",").includes("memory"))) return null;
  return { version: type === "cgroup" ? 1 : 2, root: unescaped(root), point: unescaped(point) };
};

/** "0::/path" is version 2's line, "4:memory:/path" one of version 1. */
const pathIn = (selfCgroup: string, version: 1 | 2): string | null => {
  for (const line of selfCgroup.split("\n")) {
    const [id, controllers = "", ...rest] = line.split(":");
    const isIt = version === 2 ? id === "0" && controllers === "" : controllers.split(",").includes("memory");
    if (isIt) return rest.join(":");
  }
  return null;
};

/** Below the mount; a path that leads out of what is mounted is taken for the mount itself. */
const within = (path: string, root: string): string => {
  if (path.split("/").includes("..")) return "";
  const base = root === "/" ? "" : root;
  return path === base || path.startsWith(`${base}/`) ? path.slice(base.length).replace(/\/+$/, "") : "";
};

/** Pure: of /proc/self/cgroup and /proc/self/mountinfo, the folders that may hold a limit. */
export const cgroupFolders = (selfCgroup: string, mountinfo: string): CgroupFolders[] =>
  mountinfo.split("\n").flatMap((line): CgroupFolders[] => {
    const mount = mountOf(line);
    const path = mount === null ? null : pathIn(selfCgroup, mount.version);
    if (mount === null || path === null) return [];
    const folders: string[] = [];
    for (let at = within(path, mount.root); at !== "" && at !== "/"; at = dirname(at)) folders.push(mount.point + at);
    return [{ version: mount.version, folders: [...folders, mount.point] }];
  });

const bytes = (text: string | null): number | null => (text !== null && /^\d+\s*$/.test(text) ? Number(text) : null);

/** Pure. Version 1 tells a group's own pages and those of the groups below it apart; the usage is of all. */
export const inactiveFile = (memoryStat: string | null): number => {
  const line = (name: string) => bytes(new RegExp(`^${name} (\\d+)$`, "m").exec(memoryStat ?? "")?.[1] ?? null);
  return line("total_inactive_file") ?? line("inactive_file") ?? 0;
};

/** Pure: of a group's files; null where it has no limit ("max"), or does not tell what is used. */
export const cgroupMemory = (limit: string | null, usage: string | null, stat: string | null): CgroupMemory | null => {
  const [most, used] = [bytes(limit), bytes(usage)];
  return most === null || used === null ? null : { limit: most, used: Math.max(0, used - inactiveFile(stat)) };
};

const NAMES = {
  1: ["memory.limit_in_bytes", "memory.usage_in_bytes"],
  2: ["memory.max", "memory.current"],
} as const;

const textOf = (path: string): Promise<string | null> => readFile(path, "latin1").catch(() => null);

/** All groups of this process that have a limit; none where there are no control groups. */
export const readCgroupMemory = async (): Promise<CgroupMemory[]> => {
  const [own, mounts] = await Promise.all([textOf("/proc/self/cgroup"), textOf("/proc/self/mountinfo")]);
  if (own === null || mounts === null) return [];
  const groups = cgroupFolders(own, mounts).flatMap(({ version, folders }) =>
    folders.map(async (folder) => {
      const [limit, usage, stat] = await Promise.all(
        [...NAMES[version], "memory.stat"].map((name) => textOf(`${folder}/${name}`)),
      );
      return cgroupMemory(limit ?? null, usage ?? null, stat ?? null);
    }),
  );
  return (await Promise.all(groups)).filter((memory) => memory !== null);
};
