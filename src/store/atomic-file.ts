import {
  closeSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { copyFile, link, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { inWords, isMissing } from "../common/system-error.ts";
import { readRegularFile, whyNoFile } from "./regular-file.ts";

/** Files that are either the old or the new one, whatever happens in between. */

const temporary = (path: string): string => `${path}.${process.pid}.tmp`;

export const backupPath = (path: string): string => `${targetOf(path)}.bak`;

/** What a link names is replaced, not the link; also where that is not there yet, or not any more. */
export const targetOf = (path: string): string => {
  try {
    return realpathSync(path);
  } catch (error) {
    // Links that go round in a circle end elsewhere: of those, it is ELOOP.
    if (!isMissing(error) || !isLink(path)) return path;
    return targetOf(resolve(dirname(path), readlinkSync(path)));
  }
};

const isLink = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;

/**
 * Replaces a file and its backup: both written beside, made durable, put in place. Where this has come to its end, the
 * backup is a copy of the new text; where it fails, both are what they were.
 * They are two files on the disk: an editor that breaks one does not break the other.
 * @param file the file, or a link to it
 * @param mode permissions of the new file
 * @throws in words where the disk is full, read-only or failing
 */
export const replaceFile = (file: string, text: string, mode: number): Promise<void> =>
  replaceBoth(targetOf(file), [text, text], mode);

/**
 * Replaces a file and its backup by what they hold, to find out whether that can be done. One that is not there stays so.
 * @throws as {@link replaceFile} does
 */
export const rewriteFile = async (file: string, mode: number): Promise<void> => {
  const path = targetOf(file);
  const text = readUnlessGone(path);
  if (text === null) return;
  let backup: Content | null = text;
  try {
    backup = readUnlessGone(backupPath(path));
  } catch {
    // A backup that may not be read may be replaced all the same.
  }
  await replaceBoth(path, [text, backup], mode);
};

type Content = string | Uint8Array;

const readUnlessGone = (path: string): Content | null => {
  try {
    return readRegularFile(path);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
};

/** @param contents of the file and of its backup; null leaves that one as it is */
const replaceBoth = async (path: string, contents: [Content, Content | null], mode: number): Promise<void> => {
  const parts = [path, backupPath(path)].flatMap((target, n) => {
    const beside = `${temporary(path)}${n === 0 ? "" : ".bak"}`;
    const content = contents[n] ?? null;
    return content === null ? [] : [{ target, beside, old: `${beside}.old`, content }];
  });
  try {
    refuseOther(path);
    // Together: most file systems make them durable in one go.
    await allOf(parts.map(({ beside, content }) => writeDurably(beside, content, mode)));
    await putInPlace(parts, dirname(path));
  } catch (error) {
    throw unwritable(error, path);
  } finally {
    for (const rest of parts.flatMap(({ beside, old }) => [beside, old])) {
      await rm(rest, { force: true }).catch(() => undefined);
    }
  }
};

/** A link may lead to a device, of which the whole machine would have a file instead. */
const refuseOther = (path: string): void => {
  const other = whyNoFile(path);
  if (other !== null) throw new Error(other);
};

/** Where a file is to be made, only its folder can be missing. */
const unwritable = (error: unknown, path: string): Error => inWords(error, isMissing(error) ? dirname(path) : path);

interface Part {
  target: string;
  beside: string;
  /** A second name of what stands at `target`, until it is sure that it is not needed any more. */
  old: string;
}

/** @returns whether something stood there before */
const putPartInPlace = async ({ target, beside, old }: Part): Promise<boolean> => {
  let kept = false;
  try {
    kept = await linkTo(target, old);
    await rename(beside, target);
  } catch (error) {
    // What could only be moved away is not there any more.
    if (kept && lstatSync(target, { throwIfNoEntry: false }) === undefined) await putBack(target, old);
    refuseOther(target);
    throw inWords(error, target);
  }
  return kept;
};

const putInPlace = async (parts: readonly Part[], folder: string): Promise<void> => {
  const replaced: (Part & { kept: boolean })[] = [];
  try {
    for (const part of parts) replaced.unshift({ ...part, kept: await putPartInPlace(part) });
    await syncFolder(folder);
  } catch (error) {
    // The file last, since a backup without it would look as if the file were lost.
    for (const { target, old, kept } of replaced) await putBack(target, kept ? old : null);
    throw error;
  }
};

/** Like Promise.all, but it fails only when all have come to an end. */
const allOf = async (works: Promise<void>[]): Promise<void> => {
  for (const result of await Promise.allSettled(works)) {
    if (result.status === "rejected") throw result.reason;
  }
};

/** Removes what daemons that were killed in the middle left beside the file. No other process may be writing it. */
export const removeRests = (file: string): void => {
  const path = targetOf(file);
  const isRest = (name: string): boolean =>
    name.startsWith(`${basename(path)}.`) && /^\d+\.tmp(\.bak)?(\.old)?$/.test(name.slice(basename(path).length + 1));
  for (const name of readdirSync(dirname(path)).filter(isRest)) rmSync(join(dirname(path), name), { force: true });
};

const writeDurably = async (path: string, text: Content, mode: number): Promise<void> => {
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
    if (isMissing(error)) return false;
    // One that is another user's may be neither linked nor read, but moved away.
    await copyFile(path, name).catch((refusal: NodeJS.ErrnoException) => {
      if (refusal.code !== "EACCES" && refusal.code !== "EPERM") throw refusal;
      return rename(path, name);
    });
  }
  return true;
};

/** A refused change must not be there after a crash, as far as such a disk still obeys. */
const putBack = async (path: string, old: string | null): Promise<void> => {
  try {
    await (old === null ? rm(path, { force: true }) : rename(old, path));
  } catch {
    // The error that led here says what is wrong with the disk.
  }
};

const syncFolderNow = (path: string): void => {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
};

/** {@link replaceFile} at once and without a backup, for small records; `durable` survives a power cut too. */
export const replaceFileSync = (file: string, text: string, durable: boolean): void => {
  const path = targetOf(file);
  const beside = temporary(path);
  try {
    refuseOther(path);
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const fd = openSync(beside, "w", 0o600);
    try {
      // Unlike a single write, it goes on where the disk took only a part.
      writeFileSync(fd, text);
      if (durable) fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(beside, path);
    if (durable) syncFolderNow(dirname(path));
  } catch (error) {
    rmSync(beside, { force: true });
    throw unwritable(error, path);
  }
};

/** {@link replaceFileSync} of a JSON document, laid out for people. */
export const replaceJsonSync = (file: string, document: unknown, durable: boolean): void =>
  replaceFileSync(file, `${JSON.stringify(document, null, 2)}\n`, durable);
