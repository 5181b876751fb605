import { randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { embedPyserver } from "./pyserver-macro.ts" with { type: "macro" };
import type { EmbeddedPackage } from "./pyserver-macro.ts";

/** The Python server travels inside the binary; Python wants files. */

/** Read when the program is built. */
const embedded: EmbeddedPackage = embedPyserver();

const cacheHome = (env: Readonly<Record<string, string | undefined>>): string =>
  env.XDG_CACHE_HOME !== undefined && env.XDG_CACHE_HOME !== "" ? env.XDG_CACHE_HOME : join(homedir(), ".cache");

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
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(beside, content);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
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

/**
 * Unpacks the package into the user's cache, in a folder named after its content: it may be in use by servers of this
 * daemon and of others, which may unpack it at the same time. One that is whole is only read.
 * @returns resolves with the folder that Python runs; it is looked at anew each time, by one look at a time. Rejects
 *   where it is not whole and cannot be written
 */
export const pyserverUnpacker = (
  env: Readonly<Record<string, string | undefined>>,
  source: EmbeddedPackage = embedded,
): (() => Promise<string>) => {
  const dir = join(cacheHome(env), "solar-host", `pyserver-${source.hash}`);
  let unpacking: Promise<string> | null = null;
  return () => {
    unpacking ??= fill(dir, source).finally(() => {
      unpacking = null;
    });
    return unpacking;
  };
};
