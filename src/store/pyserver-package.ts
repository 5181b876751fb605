import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { inWords } from "../common/system-error.ts";
import { cacheFolder } from "./home.ts";
import { embedPyserver } from "./pyserver-macro.ts" with { type: "macro" };
import type { EmbeddedPackage } from "./pyserver-macro.ts";

/** The Python server travels inside the binary; Python wants files. */

/** Read when the program is built. */
const embedded: EmbeddedPackage = embedPyserver();

const holds = async (path: string, content: string): Promise<boolean> => {
  try {
    return (await readFile(path, "utf8")) === content;
  } catch {
    return false;
  }
};

/** The old file or the new one, and never none: a server of another daemon may be importing it. */
const putFile = async (path: string, content: string): Promise<void> => {
  const beside = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(beside, content);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw inWords(error, path);
  }
};

/** Makes the folder whole, file by file: what is whole in it stays as it is, and nothing is taken away. */
const fill = async (dir: string, { files }: EmbeddedPackage): Promise<string> => {
  for (const [path, content] of Object.entries(files)) {
    const file = join(dir, path);
    if (!(await holds(file, content))) await putFile(file, content);
  }
  return dir;
};

/** A folder that no start has used for so long is of a version that is gone. */
const UNUSED_MS = 30 * 24 * 60 * 60_000;

export interface Unpacked {
  path: string;
  /** Milliseconds since 1970. */
  usedAt: number;
}

/** Pure: which folders of other versions may go. Each start of a server marks its folder as used. */
export const unusedFolders = (
  folders: readonly Unpacked[],
  own: string,
  commands: readonly string[],
  now: number,
): string[] =>
  folders
    .filter(({ path, usedAt }) => path !== own && now - usedAt > UNUSED_MS)
    .map(({ path }) => path)
    .filter((path) => !commands.some((command) => command.includes(path)));

/** Command lines of the processes that can be seen; null where that is not known. */
const runningCommands = async (): Promise<string[] | null> => {
  try {
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    return await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  } catch {
    return null;
  }
};

const removeUnused = async (own: string): Promise<void> => {
  const parent = dirname(own);
  const names = (await readdir(parent)).filter((name) => name.startsWith(PREFIX));
  if (names.length < 2) return;
  const commands = await runningCommands();
  if (commands === null) return;
  const folders = await Promise.all(
    names.map(async (name) => ({ path: join(parent, name), usedAt: (await stat(join(parent, name))).mtimeMs })),
  );
  for (const path of unusedFolders(folders, own, commands, Date.now()))
    await rm(path, { recursive: true, force: true });
};

const PREFIX = "pyserver-";

/**
 * Unpacks the package into a folder named after its content: in the user's cache, or in the daemon's own folder where
 * there is no home that can be used. It may be in use by servers of this daemon and of others, which may unpack it at
 * the same time. One that is whole is only read, and marked as used.
 * @param stateDir the daemon's own folder
 * @returns resolves with the folder that Python runs; it is looked at anew each time, by one look at a time. Rejects
 *   where it is not whole and cannot be written
 */
export const pyserverUnpacker = (
  env: Readonly<Record<string, string | undefined>>,
  stateDir: string,
  source: EmbeddedPackage = embedded,
): (() => Promise<string>) => {
  const inside = (parent: string): string => join(parent, `${PREFIX}${source.hash}`);
  const unpack = async (): Promise<string> => {
    const cache = cacheFolder(env);
    const own = inside(stateDir);
    const dir =
      cache === null
        ? await fill(own, source)
        : await fill(inside(join(cache, "solar-host")), source).catch(() => fill(own, source));
    const now = new Date();
    // Neither is needed for the start.
    await utimes(dir, now, now).catch(() => undefined);
    await removeUnused(dir).catch(() => undefined);
    return dir;
  };
  let unpacking: Promise<string> | null = null;
  return () => {
    unpacking ??= unpack().finally(() => {
      unpacking = null;
    });
    return unpacking;
  };
};
