import { closeSync, fsyncSync, mkdirSync, openSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Files that are either the old or the new one, whatever happens in between. */

const temporary = (path: string): string => `${path}.${process.pid}.tmp`;

export const backupPath = (path: string): string => `${targetOf(path)}.bak`;

/** What a link names is replaced, not the link. */
const targetOf = (path: string): string => {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
};

/**
 * Replaces a file: written beside, made durable, put in place. The one before it stays as the backup.
 * @param file the file, or a link to it
 * @param mode permissions of the new file
 * @throws where the disk is full or read-only; the old file is untouched then
 */
export const replaceFile = async (file: string, text: string, mode: number): Promise<void> => {
  const path = targetOf(file);
  const beside = temporary(path);
  try {
    const handle = await open(beside, "w", mode);
    try {
      await handle.chmod(mode);
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await keepBackup(path);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => undefined);
    throw error;
  }
  const dir = await open(dirname(path), "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
};

const keepBackup = async (path: string): Promise<void> => {
  const beside = `${temporary(path)}.bak`;
  await rm(beside, { force: true });
  try {
    await link(path, beside);
  } catch {
    // There is none yet, or the file system has no links: then there is no backup.
    return;
  }
  await rename(beside, backupPath(path));
};

/** {@link replaceFile} at once and without a backup, for small records; `durable` survives a power cut too. */
export const replaceFileSync = (file: string, text: string, durable: boolean): void => {
  const path = targetOf(file);
  const beside = temporary(path);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    const fd = openSync(beside, "w", 0o600);
    try {
      // Unlike a single write, it goes on where the disk took only a part.
      writeFileSync(fd, text);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
  } catch (error) {
    rmSync(beside, { force: true });
    throw error;
  }
  if (!durable) return;
  const fd = openSync(dirname(path), "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
};
