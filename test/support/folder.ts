import { afterEach } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./until.ts";

const made: string[] = [];
const mounted: string[] = [];

export const isRoot = process.getuid?.() === 0;

/** A new folder, gone after the test. The test file calls {@link removeFoldersAfterEach}. */
export const temporaryFolder = (): string => {
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  made.push(dir);
  return dir;
};

const mountTmpfs = (dir: string, kib: number): boolean =>
  Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${kib}k`, "tmpfs", dir], { stderr: "ignore" }).exitCode === 0;

let mountable: boolean | null = null;

/** Whether this user may mount a file system: root may, but not in every container. A test that needs it says skipIf. */
export const canMount = (): boolean => {
  if (process.platform !== "linux" || !isRoot) return false;
  if (mountable !== null) return mountable;
  const dir = mkdtempSync(join(tmpdir(), "solar-host-test-"));
  mountable = mountTmpfs(dir, 4);
  if (mountable) Bun.spawnSync(["umount", "--lazy", dir]);
  rmSync(dir, { recursive: true });
  return mountable;
};

/** A file system of its own, with so many KiB. Only where {@link canMount}. */
export const tinyDisk = (kib = 64): string => {
  const dir = join(temporaryFolder(), "disk");
  mkdirSync(dir);
  if (!mountTmpfs(dir, kib)) throw new Error(`cannot mount a tmpfs at ${dir}`);
  mounted.push(dir);
  return dir;
};

/** Writes a file until its disk is full. */
const fill = (path: string): void => {
  for (let size = 512 * 1024; size >= 1; size = Math.floor(size / 2)) {
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch {
      // So much does not fit any more.
    }
  }
};

/**
 * Writes a file until its disk is full, and nothing that was being saved meanwhile gives room back.
 * @param dir in which a daemon saves; none where there is none
 */
export const fillDisk = async (path: string, dir?: string): Promise<void> => {
  const isSaved = (): boolean => dir === undefined || readdirSync(dir).every((name) => !name.includes(".tmp"));
  await until("what is being saved", isSaved);
  fill(path);
  await until("what was being saved", isSaved);
  fill(path);
};

/** To be called by each test file: a hook that a shared module sets counts for the first file only that loads it. */
export const removeFoldersAfterEach = (): void => {
  afterEach(() => {
    for (const dir of mounted.splice(0)) Bun.spawnSync(["umount", "--lazy", dir]);
    for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true });
  });
};
