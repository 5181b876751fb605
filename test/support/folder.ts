import { afterEach } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const made: string[] = [];
const mounted: string[] = [];

export const isRoot = process.getuid?.() === 0;

/** A new folder, gone after the test. The test file calls {@link removeFoldersAfterEach}. */
export const temporaryFolder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  made.push(dir);
  return dir;
};

/** A file system of its own, with so many KiB; null where nobody may make one. */
export const tinyDisk = (kib = 64): string | null => {
  if (process.platform !== "linux" || !isRoot) return null;
  const dir = join(temporaryFolder(), "disk");
  mkdirSync(dir);
  const mount = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", dir], { stderr: "ignore" });
  if (mount.exitCode !== 0) return null;
  mounted.push(dir);
  return dir;
};

/** To be called by each test file: a hook that a shared module sets counts for the first file only that loads it. */
export const removeFoldersAfterEach = (): void => {
  afterEach(() => {
    for (const dir of mounted.splice(0)) Bun.spawnSync(["umount", "--lazy", dir]);
    for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
  });
};
