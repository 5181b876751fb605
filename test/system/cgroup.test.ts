import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupFolders, cgroupMemory, inactiveFile } from "../../src/system/cgroup.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(60_000);

const V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
const V1 = [
  "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
  "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu",
  "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory",
].join("\n");

describe("the control groups of a process", () => {
  test("of version 2 are its own and all above it", () => {
    expect(cgroupFolders("0::/system.slice/solar-host.service\n", V2)).toEqual([
      {
        version: 2,
        folders: ["/sys/fs/cgroup/system.slice/solar-host.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"],
      },
    ]);
  });

  test("of a container with a namespace of its own are the mount alone", () => {
    expect(cgroupFolders("0::/\n", V2)).toEqual([{ version: 2, folders: ["/sys/fs/cgroup"] }]);
    expect(cgroupFolders("0::/../../other\n", V2)).toEqual([{ version: 2, folders: ["/sys/fs/cgroup"] }]);
  });

  test("of version 1 are those of the memory controller", () => {
    expect(cgroupFolders("5:cpu:/a\n4:memory,hugetlb:/a/b:c\n0::/\n", V1)).toEqual([
      {
        version: 1,
        folders: ["/sys/fs/cgroup/memory/a/b:c", "/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"],
      },
    ]);
  });

  test("are found below the part of the hierarchy that is mounted", () => {
    const docker = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
    expect(cgroupFolders("4:memory:/docker/abc/inner\n", docker)).toEqual([
      { version: 1, folders: ["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"] },
    ]);
    expect(cgroupFolders("4:memory:/docker/abcdef\n", docker)).toEqual([
      { version: 1, folders: ["/sys/fs/cgroup/memory"] },
    ]);
  });

  test("of both versions count where both are mounted, and a blank in a path is one", () => {
    const both = `${V1}\n36 31 0:38 / /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw`;
    expect(cgroupFolders("4:memory:/\n0::/x\n", both).map(({ folders }) => folders)).toEqual([
      ["/sys/fs/cgroup/memory"],
      ["/sys/fs/my cgroup/x", "/sys/fs/my cgroup"],
    ]);
  });

  test("are none where there are none", () => {
    expect(cgroupFolders("", "")).toEqual([]);
    expect(cgroupFolders("0::/\n", "22 1 8:1 / / rw - ext4 /dev/sda1 rw")).toEqual([]);
  });
});

describe("the memory of a control group", () => {
  test("is its limit, and its usage without file pages that are given back", () => {
    expect(cgroupMemory("1000\n", "700\n", "anon 300\ninactive_file 250\nactive_file 100\n")).toEqual({
      limit: 1000,
      used: 450,
    });
    expect(cgroupMemory("1000\n", "200\n", "inactive_file 250\n")).toEqual({ limit: 1000, used: 0 });
    expect(cgroupMemory("1000\n", "200\n", null)).toEqual({ limit: 1000, used: 200 });
  });

  test("is none without a limit, or where a file is not there", () => {
    expect(cgroupMemory("max\n", "700\n", "")).toBeNull();
    expect(cgroupMemory(null, "700\n", "")).toBeNull();
    expect(cgroupMemory("1000\n", null, "")).toBeNull();
  });

  test("of version 1 counts the file pages of the groups below it", () => {
    expect(inactiveFile("inactive_file 5\ntotal_inactive_file 50\n")).toBe(50);
  });
});

const MIB = 2 ** 20;

/** A folder in which a group with a limit can be made; null where this machine does not let us. */
const place = (): { folder: string; limit: string } | null => {
  if (process.platform !== "linux") return null;
  const found = cgroupFolders(
    readFileSync("/proc/self/cgroup", "latin1"),
    readFileSync("/proc/self/mountinfo", "latin1"),
  );
  for (const { version, folders } of found) {
    const folder = version === 1 ? folders[0] : folders.at(-1);
    const limit = version === 1 ? "memory.limit_in_bytes" : "memory.max";
    if (folder === undefined || !existsSync(folder)) continue;
    const group = join(folder, `solar-host-probe-${process.pid}`);
    try {
      accessSync(folder, constants.W_OK);
      mkdirSync(group);
      const isThere = existsSync(join(group, limit));
      rmdirSync(group);
      if (isThere) return { folder, limit };
    } catch {
      // Not ours to change.
    }
  }
  return null;
};

const real = place();

test.skipIf(real === null)(
  "in a real group with a limit, that is what there is, and its parent's limit counts too",
  async () => {
    if (real === null) return;
    const outer = join(real.folder, `solar-host-test-${process.pid}`);
    const inner = join(outer, "inner");
    for (const group of [outer, inner]) mkdirSync(group);
    try {
      writeFileSync(join(outer, real.limit), String(600 * MIB));
      if (existsSync(join(inner, real.limit))) writeFileSync(join(inner, real.limit), String(800 * MIB));
      const module = join(import.meta.dir, "../../src/system/ram.ts");
      const look = `import { readRam } from ${JSON.stringify(module)}; console.log(JSON.stringify(await readRam()));`;
      const script = `echo $$ > '${inner}/cgroup.procs' && exec "$@"`;
      const child = Bun.spawnSync(["sh", "-c", script, "sh", process.execPath, "-e", look]);
      expect(child.stderr.toString()).toBe("");
      const ram = JSON.parse(child.stdout.toString());
      expect(ram.total).toBe(600 * MIB);
      expect(ram.used).toBeGreaterThan(0);
      expect(ram.used).toBeLessThan(600 * MIB);
    } finally {
      // What has just ended may still be counted.
      for (const group of [inner, outer]) await until(`${group} to be empty`, () => removed(group));
    }
  },
);

const removed = (group: string): boolean => {
  try {
    rmdirSync(group);
    return true;
  } catch {
    return false;
  }
};
