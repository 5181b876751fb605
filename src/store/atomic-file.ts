import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { copyFile, link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

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
 * @throws where the disk is full, read-only or failing; the old file stands there then
 */
export const replaceFile = async (file: string, text: string, mode: number): Promise<void> => {
  const path = targetOf(file);
  const beside = temporary(path);
  const old = `${beside}.old`;
  try {
    await writeDurably(beside, text, mode);
    const kept = await linkTo(path, old);
    await rename(beside, path);
    try {
      await syncFolder(dirname(path));
    } catch (error) {
      await putBack(path, kept ? old : null);
      throw error;
    }
    // Last of all: at no moment are the file and its backup one and the same, so that whoever
    // breaks the one in an editor never breaks the other.
    if (kept) await rename(old, backupPath(path)).catch(() => rm(old, { force: true }));
  } catch (error) {
    for (const rest of [beside, old]) await rm(rest, { force: true }).catch(() => undefined);
    throw error;
  }
};

/** Removes what daemons that were killed in the middle left beside the file. Nobody else may be writing it. */
export const removeRests = (file: string): void => {
  const path = targetOf(file);
  const isRest = (name: string): boolean =>
    name.startsWith(`${basename(path)}.`) && /^\d+\.tmp(\.old)?$/.test(name.slice(basename(path).length + 1));
  for (const name of readdirSync(dirname(path)).filter(isRest)) rmSync(join(dirname(path), name), { force: true });
};

const writeDurably = async (path: string, text: string, mode: number): Promise<void> => {
  const handle = await open(path, "w", mode);
  try {
    await handle.chmod(mode);
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
};

const syncFolder = async (path: string): Promise<void> => {
  const dir = await open(path, "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
};

/** A second name for the file, or a copy where the file system has no links; false where there is no file yet. */
const linkTo = async (path: string, name: string): Promise<boolean> => {
  await rm(name, { force: true });
  try {
    await link(path, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    await copyFile(path, name);
  }
  return true;
};

/** What was refused must not be there after a crash, as far as such a disk can still be told. */
const putBack = async (path: string, old: string | null): Promise<void> => {
  try {
    await (old === null ? rm(path, { force: true }) : rename(old, path));
  } catch {
    // The error that led here says what is wrong with the disk.
  }
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
